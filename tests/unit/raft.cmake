coord_test(test_raft_entry unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_raft_entry.c LINKS coord_raft)
coord_test(test_raft_io_guard unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_raft_io_guard.c
           ${CMAKE_CURRENT_LIST_DIR}/test_raft_guard_rig.c LINKS coord_raft_core)
foreach(subject node forward)
  coord_test(test_raft_${subject} unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_raft_${subject}.c
             ${CMAKE_CURRENT_LIST_DIR}/test_raft_rig.c LINKS coord_raft_core)
endforeach()
coord_test(test_raft_members unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_raft_members.c LINKS coord_raft_core)
coord_test(test_raft_receipt unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_raft_receipt.c LINKS coord_raft)
coord_test(test_raft_segment unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_raft_segment.c LINKS coord_raft)
coord_test(test_raft_loop_watch unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_raft_loop_watch.c LINKS coord_raft)
