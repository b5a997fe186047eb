if(TARGET coord_exec AND TARGET lease_guard)
  coord_test(test_exec_steps integration SOURCES ${CMAKE_SOURCE_DIR}/tests/integration/test_exec_steps.c
             ${CMAKE_SOURCE_DIR}/tests/integration/exec_rig.c
             ${CMAKE_SOURCE_DIR}/tests/integration/dns_servers.c ${CMAKE_SOURCE_DIR}/tests/integration/script_server.c
             LINKS coord_exec coord_pg_fixture)
  target_compile_definitions(test_exec_steps PRIVATE SUPERVISE_PATH="$<TARGET_FILE:coord-supervise>"
                             LEASE_GUARD_PATH="$<TARGET_FILE:lease_guard>")
  add_dependencies(test_exec_steps coord-supervise lease_guard)
endif()
