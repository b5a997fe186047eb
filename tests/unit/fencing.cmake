coord_test(test_data_dir unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_data_dir.c LINKS coord_fencing)
