# The simulator: our own in-memory raft_io, seeded. No libuv, no sockets, no clock.
add_library(sim_raft STATIC sim/sim.c sim/net.c sim/disk.c sim/arena.c sim/raft_io_mem.c sim/raft_message.c sim/cluster.c
            sim/chaos.c)
target_compile_options(sim_raft PRIVATE "SHELL:-iquote ${CMAKE_SOURCE_DIR}" "SHELL:-iquote ${CMAKE_SOURCE_DIR}/coordinator")
target_link_libraries(sim_raft PUBLIC coord_raft_core)
coord_test(test_raft_io_mem sim SOURCES sim/test_raft_io_mem.c LINKS sim_raft)
coord_test(test_raft_room sim SOURCES sim/test_raft_room.c LINKS sim_raft)
