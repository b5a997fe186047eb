# The simulator: the real core, holder and raft room over our own in-memory raft_io, seeded. No libuv, no sockets, no clock.
function(sim_library name)
  add_library(${name} STATIC ${ARGN})
  target_compile_options(${name} PRIVATE "SHELL:-iquote ${CMAKE_SOURCE_DIR}" "SHELL:-iquote ${CMAKE_SOURCE_DIR}/coordinator")
endfunction()

sim_library(sim_raft sim/sim.c sim/net.c sim/disk.c sim/arena.c sim/raft_io_mem.c sim/raft_message.c sim/cluster.c sim/chaos.c
            sim/member_chaos.c)
target_link_libraries(sim_raft PUBLIC coord_raft_core)
coord_test(test_raft_io_mem sim SOURCES sim/test_raft_io_mem.c LINKS sim_raft)
coord_test(test_raft_room sim SOURCES sim/test_raft_room.c LINKS sim_raft)

sim_library(sim_cluster sim/server.c sim/world.c sim/world_check.c sim/faults.c sim/faults_machine.c sim/people.c
            sim/simnode.c sim/simnode_log.c sim/simnode_lease.c sim/simnode_promise.c sim/simnode_watch.c sim/simnode_steps.c)
target_link_libraries(sim_cluster PUBLIC sim_raft coord_core coord_holder)
add_executable(sim_world sim/sim_world.c)
target_compile_options(sim_world PRIVATE "SHELL:-iquote ${CMAKE_SOURCE_DIR}" "SHELL:-iquote ${CMAKE_SOURCE_DIR}/coordinator")
target_link_libraries(sim_world PRIVATE sim_cluster)
# Under the sanitizers a few; the thousands run from the release build (tests/runner.py).
add_test(NAME sim_world_1..100 COMMAND sim_world --seeds 1..100)
set_tests_properties(sim_world_1..100 PROPERTIES LABELS sim)
coord_test(test_failover sim SOURCES sim/test_failover.c LINKS sim_cluster)
coord_test(test_failsafe sim SOURCES sim/test_failsafe.c LINKS sim_cluster)
