# The judge of the soak: what it must find, and what it must not.
add_test(NAME soak_judge COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/test_soak_judge.py -v)
set_tests_properties(soak_judge PROPERTIES LABELS unit)
