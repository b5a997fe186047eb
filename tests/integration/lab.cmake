# The lab's own network: what the e2e scenarios and the soak rely on.
add_test(NAME lab_relay COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/test_lab_relay.py -v)
set_tests_properties(lab_relay PROPERTIES LABELS integration ENVIRONMENT "COORD_BUILD=${CMAKE_BINARY_DIR}")
