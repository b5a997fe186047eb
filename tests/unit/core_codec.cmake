coord_test(test_crc32c unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_crc32c.c LINKS coord_base)
if(TARGET coord_core)
  foreach(codec command_codec snapshot_codec)
    coord_test(test_${codec} unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${codec}.c ${CMAKE_CURRENT_LIST_DIR}/codec_full.c
               LINKS coord_core)
  endforeach()
endif()
