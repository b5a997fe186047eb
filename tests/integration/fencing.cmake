# coord_pg_fixture is made in postgres.cmake: the glob gives no order, but targets are resolved at the end.
coord_test(test_guard_client integration SOURCES ${CMAKE_SOURCE_DIR}/tests/integration/test_guard_client.c
           LINKS coord_fencing)

coord_test(test_fence_agent integration SOURCES ${CMAKE_SOURCE_DIR}/tests/integration/test_fence_agent.c
           LINKS coord_fencing coord_pg_fixture)
target_compile_definitions(test_fence_agent PRIVATE
                           LEASE_GUARD_SO="$<TARGET_FILE:lease_guard>" SUPERVISE="$<TARGET_FILE:coord-supervise>")
add_dependencies(test_fence_agent lease_guard coord-supervise)

# Its parts run in containers: as root alone.
coord_test(test_fence_container integration SOURCES ${CMAKE_SOURCE_DIR}/tests/integration/test_fence_container.c
           LINKS coord_fencing coord_pg_fixture)
target_compile_definitions(test_fence_container PRIVATE
                           LEASE_GUARD_SO="$<TARGET_FILE:lease_guard>" SUPERVISE="$<TARGET_FILE:coord-supervise>")
add_dependencies(test_fence_container lease_guard coord-supervise)
