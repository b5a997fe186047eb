coord_test(test_deploy_command integration SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_deploy_command.c LINKS coord_deploy)
target_compile_definitions(test_deploy_command PRIVATE SUPERVISE_PATH="$<TARGET_FILE:coord-supervise>")
add_dependencies(test_deploy_command coord-supervise)
