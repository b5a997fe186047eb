if(TARGET coord_exec)
  coord_test(test_exec unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_exec.c LINKS coord_exec)
endif()
