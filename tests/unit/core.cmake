if(TARGET coord_core)
  set(core_tests standby policy opinion lease certificate verdict gates operation plan state fsm_cluster fsm_lease fsm_operation promises)
  foreach(module ${core_tests})
    coord_test(test_core_${module} unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_core_${module}.c
               ${CMAKE_CURRENT_LIST_DIR}/core_fixture.c LINKS coord_core)
  endforeach()
  foreach(module leader leader_drive members)
    coord_test(test_core_${module} unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_core_${module}.c
               ${CMAKE_CURRENT_LIST_DIR}/core_leader_fixture.c ${CMAKE_CURRENT_LIST_DIR}/core_fixture.c LINKS coord_core)
  endforeach()
endif()
if(TARGET coord_holder)
  foreach(module holder holder_promises)
    coord_test(test_${module} unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${module}.c ${CMAKE_CURRENT_LIST_DIR}/holder_fixture.c
               ${CMAKE_CURRENT_LIST_DIR}/core_fixture.c LINKS coord_holder)
  endforeach()
  coord_test(test_promise unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_promise.c ${CMAKE_CURRENT_LIST_DIR}/core_fixture.c
             LINKS coord_holder)
endif()
