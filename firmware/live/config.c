/*
 * Configurations: which programs are on which hooks. A single 8-byte aligned pointer names the active one, so a deploy
 * and a rollback are each one store-release, and a dispatch sees either the old configuration or the new one.
 * Configurations are in a ring of HISTORY_MAX; the overwritten one is the oldest rollback point, and overwriting happens
 * only in a handler, where no hook runs.
 */
#include "live/config.h"

#include <string.h>

static struct live_config ring[HISTORY_MAX];
const struct live_config *config_pointer __attribute__((aligned(8)));
static uint32_t active_at; /* index of the active one in the ring */
static uint32_t depth;     /* rollback points before it */
static uint32_t generation, rollbacks;

void config_init(void)
{
    memset(ring, 0, sizeof(ring));
    active_at = 0;
    depth = 0;
    generation = 0;
    rollbacks = 0;
    __atomic_store_n(&config_pointer, &ring[0], __ATOMIC_RELEASE);
}

uint32_t config_generation(void)
{
    return generation;
}

uint32_t config_depth(void)
{
    return depth;
}

uint32_t config_rollbacks(void)
{
    return rollbacks;
}

uint32_t config_deployed(void)
{
    const struct live_config *config = config_active();
    uint32_t count = 0;
    for (uint32_t hook = 0; hook < BPF_HOOK_COUNT; hook++)
        count += config->hooks[hook].count;
    return count;
}

struct extension *config_extension_at(struct slot slot)
{
    const struct chain *chain = &config_active()->hooks[slot.hook];
    for (uint32_t i = 0; i < chain->count; i++) {
        if (chain->extensions[i]->slot.priority == slot.priority)
            return chain->extensions[i];
    }
    return NULL;
}

static bool holds(const struct live_config *config, const struct extension *extension)
{
    const struct chain *chain = &config->hooks[extension->slot.hook];
    for (uint32_t i = 0; i < chain->count; i++) {
        if (chain->extensions[i] == extension)
            return true;
    }
    return false;
}

/* The configuration `back` rollback points before the active one. */
static struct live_config *kept(uint32_t back)
{
    return &ring[(active_at + HISTORY_MAX - back) % HISTORY_MAX];
}

bool config_holds(const struct extension *extension, bool history)
{
    for (uint32_t back = 0; back <= (history ? depth : 0); back++) {
        if (holds(kept(back), extension))
            return true;
    }
    return false;
}

const char *config_deploy_fault(const struct extension *extension)
{
    if (!bpf_hook_in(BPF_HOOKS_DEPLOYABLE, extension->slot.hook))
        return "a " BPF_HOOKS_DEPLOYABLE_TEXT " program: the test hook is for RUN";
    const struct chain *chain = &config_active()->hooks[extension->slot.hook];
    if (chain->count == CHAIN_MAX && config_extension_at(extension->slot) == NULL)
        return "at most 4 programs on a hook: deploy with the priority of the one to replace";
    return NULL;
}

/* Inserts the program by its priority, replacing one with the same priority. */
static void chain_put(struct chain *chain, struct extension *extension)
{
    uint32_t at = 0;
    while (at < chain->count && chain->extensions[at]->slot.priority < extension->slot.priority)
        at++;
    if (at == chain->count || chain->extensions[at]->slot.priority != extension->slot.priority) {
        for (uint32_t i = chain->count; i > at; i--)
            chain->extensions[i] = chain->extensions[i - 1];
        chain->count++;
    }
    chain->extensions[at] = extension;
}

void config_deploy(struct extension *extension)
{
    uint32_t next_at = (active_at + 1) % HISTORY_MAX;
    struct live_config *next = &ring[next_at];
    *next = *kept(0);
    chain_put(&next->hooks[extension->slot.hook], extension);
    __atomic_store_n(&config_pointer, next, __ATOMIC_RELEASE);
    active_at = next_at;
    depth = depth < HISTORY_MAX - 1 ? depth + 1 : depth;
    generation++;
}

bool config_take_back(const struct extension *extension)
{
    uint32_t back = 1;
    if (extension != NULL && !holds(kept(0), extension))
        return false;
    while (back <= depth && extension != NULL && holds(kept(back), extension))
        back++;
    if (back > depth) {
        if (extension == NULL)
            return false;
        /* Every kept configuration holds the culprit: only an empty one is safe, and no way leads back from it. */
        active_at = (active_at + 1) % HISTORY_MAX;
        memset(&ring[active_at], 0, sizeof(ring[active_at]));
        depth = 0;
    } else {
        active_at = (active_at + HISTORY_MAX - back) % HISTORY_MAX;
        depth -= back;
    }
    __atomic_store_n(&config_pointer, &ring[active_at], __ATOMIC_RELEASE);
    generation++;
    rollbacks++;
    return true;
}
