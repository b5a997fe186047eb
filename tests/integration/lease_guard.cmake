# lease_guard on a real server. Each script is one test: its servers share one initdb.
foreach(subject commit after_flush server socket setup peers)
  add_test(NAME lease_guard_${subject}
           COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/test_lease_guard_${subject}.py -v)
  set_tests_properties(lease_guard_${subject} PROPERTIES LABELS integration TIMEOUT 600
                       ENVIRONMENT "LEASE_GUARD_SO=$<TARGET_FILE:lease_guard>;PG_BINDIR=${COORD_PG_BINDIR}")
endforeach()
