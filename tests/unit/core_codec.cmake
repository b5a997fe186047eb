if(TARGET coord_core)
  coord_test(test_codec unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_codec.c LINKS coord_core)
endif()
