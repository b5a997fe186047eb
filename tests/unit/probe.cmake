coord_test(test_secret unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_secret.c LINKS coord_io_base)
if(TARGET coord_probe)
  coord_test(test_prober unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_prober.c LINKS coord_probe)
endif()
