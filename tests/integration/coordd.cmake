# coordd itself, as it was built here (with its sanitizers), on real servers.
if(TARGET coordd AND TARGET lease_guard)
  add_test(NAME coordd_sigterm COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/test_coordd_sigterm.py -v)
  set_tests_properties(coordd_sigterm PROPERTIES LABELS integration TIMEOUT 300 ENVIRONMENT "COORD_BUILD=${CMAKE_BINARY_DIR}")
  add_test(NAME coordd_tls COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/test_coordd_tls.py -v)
  set_tests_properties(coordd_tls PROPERTIES LABELS integration TIMEOUT 300 ENVIRONMENT "COORD_BUILD=${CMAKE_BINARY_DIR}")
  add_test(NAME coordd_api COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/test_coordd_api.py -v)
  set_tests_properties(coordd_api PROPERTIES LABELS integration TIMEOUT 300 ENVIRONMENT "COORD_BUILD=${CMAKE_BINARY_DIR}")
endif()
