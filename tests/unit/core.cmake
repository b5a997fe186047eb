if(TARGET coord_core)
  foreach(subject core_tables lease certificate verdict operation leader)
    coord_test(test_${subject} unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${subject}.c ${CMAKE_CURRENT_LIST_DIR}/core_rig.c
               LINKS coord_core)
  endforeach()
endif()
