add_executable(test_raft_peer ${CMAKE_CURRENT_LIST_DIR}/test_raft_peer.c)
target_compile_options(test_raft_peer PRIVATE "SHELL:-iquote ${CMAKE_SOURCE_DIR}" "SHELL:-iquote ${CMAKE_SOURCE_DIR}/coordinator")
target_link_libraries(test_raft_peer PRIVATE coord_raft)
