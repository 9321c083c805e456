/* Configurations: the deploy unit, which puts extensions on hooks. One pointer to an immutable configuration. */
#ifndef ASSAY_LIVE_CONFIG_H
#define ASSAY_LIVE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/bpf.h"
#include "live/extension.h"

#define CHAIN_MAX   4u
#define HISTORY_MAX 8u /* configurations kept: the active one and seven rollback points */

/* Extensions of one hook in order of priority. Verdicts combine as hooks.h says. */
struct chain {
    uint32_t count;
    struct extension *extensions[CHAIN_MAX];
};

/* The deploy unit: immutable once it is active. */
struct live_config {
    struct chain hooks[BPF_HOOK_COUNT];
};

/* An empty configuration, and no rollback point. */
void config_init(void);

/* The one pointer: 8-byte aligned, written by store-release only. */
extern const struct live_config *config_pointer;

/* The active configuration, by load-acquire. Never null. */
static inline const struct live_config *config_active(void)
{
    return __atomic_load_n(&config_pointer, __ATOMIC_ACQUIRE);
}

uint32_t config_generation(void); /* swaps so far */
uint32_t config_depth(void); /* rollback points */
uint32_t config_deployed(void); /* extensions in the active configuration */
uint32_t config_rollbacks(void);

/* The active extension of a slot, or null. */
struct extension *config_extension_at(struct slot slot);

/* True when the active configuration (or, with `history`, any kept one) holds the extension. */
bool config_holds(const struct extension *extension, bool history);

/* Why the extension cannot be put on its hook (static text), or null. */
const char *config_deploy_fault(const struct extension *extension);

/* One store-release to a configuration with the extension in its slot; the previous one is the rollback point. */
void config_deploy(struct extension *extension);

/*
 * One store-release to the latest configuration without `extension` (null: to the previous one). False, and nothing
 * done: the active configuration does not hold the extension (null: there is no rollback point).
 */
bool config_take_back(const struct extension *extension);

#endif
