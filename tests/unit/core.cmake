if(TARGET coord_core)
  set(core_tests policy opinion lease certificate verdict gates operation plan state leader)
  foreach(module ${core_tests})
    coord_test(test_core_${module} unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_core_${module}.c
               ${CMAKE_CURRENT_LIST_DIR}/core_fixture.c LINKS coord_core)
  endforeach()
endif()
