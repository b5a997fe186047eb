/* A lifecycle is a total table of rules. Zero means UNDECIDED, and a unit test fails while any (state, event) pair is undecided;
 * the `why` is what operators read. */
#ifndef COORD_CORE_RULE_H
#define COORD_CORE_RULE_H

enum rule_verb {
    UNDECIDED = 0,
    MOVE,  /* the event takes the thing to `next` */
    STAY,  /* known already, or harmless: nothing changes, and that is success */
    REFUSE /* not allowed in this state */
};

struct rule {
    enum rule_verb verb;
    int next;
    const char *why;
};

#endif
