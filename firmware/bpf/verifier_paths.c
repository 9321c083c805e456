/* Paths: states saved to be walked later (branches) or to cut paths that add nothing (nodes), and the longest path.
 *
 * Nodes form a tree: each knows the node before it on its path, the cost of the way from there, and, once all paths
 * from it are walked, the cost of the longest of them (`tail`). A path ends where a completed node covers it; so the
 * graph walked has no cycle, and the root's tail is the program's WCET.
 */
#include "verifier_state.h"

#include <string.h>

#include "witness.h"

struct node {
    uint32_t next; /* in its slot's list */
    uint32_t parent;
    uint32_t pending; /* paths from here that are not walked to their end */
    uint32_t slot;
    uint64_t edge; /* cost from the parent to here */
    uint64_t tail; /* cost of the longest path walked from here */
    uint32_t hits, misses;
};

struct branch {
    uint32_t size; /* of this and its state */
    uint32_t slot, node, steps;
    uint64_t cost;
    uint64_t trail[2];
};

#define MAX_ACTIVE_COMPARED 4u
#define MISSES_FORGIVEN     16u
#define SAVE_AFTER_STEPS    64u

static struct node *node_at(const struct verifier *v, uint32_t offset)
{
    return (struct node *)(void *)(v->pool + offset);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static void count_state(struct verifier *v)
{
    if (v->nodes + v->branches > v->peak)
        v->peak = v->nodes + v->branches;
}

/* Saves the present state as a node on this path. When the pool is full the walk goes on without. */
static void add_node(struct verifier *v)
{
    struct node *node = NULL;
    uint32_t offset = v->pool_low;

    if (v->pool_low > v->pool_size / 4 * 3 || v->pool_high - v->pool_low < sizeof(*node) + VERIFIER_STATE_MAX)
        return;
    node = node_at(v, offset);
    node->parent = v->node;
    node->pending = 1;
    node->slot = v->slot;
    node->edge = v->cost;
    node->tail = 0;
    node->hits = 0;
    node->misses = 0;
    node->next = v->info[v->slot].active;
    v->info[v->slot].active = offset;
    v->pool_low = (uint32_t)(verifier_pack(v, (uint8_t *)(node + 1)) - v->pool);
    v->node = offset;
    v->forks = 0;
    v->steps = 0;
    v->cost = 0;
    v->nodes++;
    count_state(v);
}

void verifier_states_start(struct verifier *v)
{
    struct node *root = node_at(v, 8); /* offset 0 means none */

    memset(root, 0, sizeof(*root));
    root->pending = 1;
    v->pool_low = 8 + (uint32_t)sizeof(*root);
    v->pool_high = v->pool_size & ~7u;
    v->node = 8;
}

uint64_t verifier_wcet(const struct verifier *v)
{
    return node_at(v, 8)->tail;
}

void verifier_end_path(struct verifier *v, uint64_t more)
{
    uint64_t cost = v->cost + more;
    uint32_t offset = v->node;

    while (offset != 0) {
        struct node *node = node_at(v, offset);

        if (cost > node->tail)
            node->tail = cost;
        if (--node->pending > 0)
            return;
        if (node->parent != 0) { /* completed: from the head of its slot's active list to the done list */
            struct slot_info *info = &v->info[node->slot];

            info->active = node->next;
            node->next = info->done;
            info->done = offset;
        }
        cost = node->edge + node->tail;
        offset = node->parent;
    }
}

enum visit verifier_visit_join(struct verifier *v)
{
    struct slot_info *info = &v->info[v->slot];
    uint32_t *link = &info->done;

    verifier_forget_dead(v);
    while (*link != 0) {
        struct node *node = node_at(v, *link);

        if (verifier_covers(v, (const uint8_t *)(node + 1), false)) {
            node->hits++;
            verifier_end_path(v, node->tail);
            return VISIT_COVERED;
        }
        if (++node->misses > MISSES_FORGIVEN + 4 * node->hits)
            *link = node->next; /* not worth comparing any more */
        else
            link = &node->next;
    }
    uint32_t compared = 0;
    for (uint32_t offset = info->active; offset != 0 && compared < MAX_ACTIVE_COMPARED; compared++) {
        const struct node *node = node_at(v, offset);

        if (verifier_covers(v, (const uint8_t *)(node + 1), true))
            return VISIT_LOOPS;
        offset = node->next;
    }
    if (v->forks > 0 || v->steps >= SAVE_AFTER_STEPS)
        add_node(v);
    return VISIT_WALK_ON;
}

/* ---- branches --------------------------------------------------------------------------------------------------- */

bool verifier_push_branch(struct verifier *v)
{
    struct branch *branch = NULL;
    uint8_t *start = v->pool + v->pool_low;

    if (v->pool_high - v->pool_low < 2 * (sizeof(*branch) + VERIFIER_STATE_MAX))
        return false;
    /* Packed in the gap between the stacks first, since its size is known only then. */
    uint8_t *end = verifier_pack(v, start + sizeof(*branch));
    uint32_t size = (uint32_t)(end - start);
    v->pool_high -= size;
    memcpy(v->pool + v->pool_high + sizeof(*branch), start + sizeof(*branch), size - sizeof(*branch));
    branch = (struct branch *)(void *)(v->pool + v->pool_high);
    branch->size = size;
    branch->slot = v->slot;
    branch->node = v->node;
    branch->steps = v->steps;
    branch->cost = v->cost;
    branch->trail[0] = v->trail[0];
    branch->trail[1] = v->trail[1];
    node_at(v, v->node)->pending++;
    v->forks++;
    v->branches++;
    count_state(v);
    WITNESS_FORK();
    return true;
}

bool verifier_pop_branch(struct verifier *v)
{
    const struct branch *branch = (const struct branch *)(const void *)(v->pool + v->pool_high);

    if (v->branches == 0)
        return false;
    v->branches--;
    v->slot = branch->slot;
    v->node = branch->node;
    v->steps = branch->steps;
    v->forks = 1;
    v->cost = branch->cost;
    v->trail[0] = branch->trail[0];
    v->trail[1] = branch->trail[1];
    verifier_unpack(v, (const uint8_t *)(branch + 1));
    v->pool_high += branch->size;
    WITNESS_BACK();
    return true;
}
