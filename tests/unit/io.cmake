coord_test(test_log unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_log.c LINKS coord_io_base)
