coord_test(test_raft_entry unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_raft_entry.c LINKS coord_raft)
coord_test(test_raft_io_guard unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_raft_io_guard.c LINKS coord_raft_core)
coord_test(test_raft_node unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_raft_node.c LINKS coord_raft_core)
