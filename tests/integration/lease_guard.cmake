# lease_guard's clock, over clocks of the test's own.
coord_test(test_lease_guard_clock integration
           SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_lease_guard_clock.c ${CMAKE_SOURCE_DIR}/fencing/lease_guard/guard_clock.c)
target_include_directories(test_lease_guard_clock PRIVATE ${CMAKE_CURRENT_LIST_DIR}/lease_guard_stub
                           ${CMAKE_SOURCE_DIR}/fencing/lease_guard)
target_link_options(test_lease_guard_clock PRIVATE -Wl,--wrap=clock_gettime)

# An extension with a worker of its own, which the guard must not take for one of PostgreSQL's.
coord_postgres_module(test_lease_guard_worker ${CMAKE_CURRENT_LIST_DIR}/test_lease_guard_worker.c)

# lease_guard on a real server. Each script is one test: its servers share one initdb.
foreach(subject commit after_flush server socket setup peers)
  add_test(NAME lease_guard_${subject}
           COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/test_lease_guard_${subject}.py -v)
  set_tests_properties(lease_guard_${subject} PROPERTIES LABELS integration TIMEOUT 600
                       ENVIRONMENT "LEASE_GUARD_SO=$<TARGET_FILE:lease_guard>;TEST_WORKER_SO=$<TARGET_FILE:test_lease_guard_worker>;PG_BINDIR=${COORD_PG_BINDIR}")
endforeach()
