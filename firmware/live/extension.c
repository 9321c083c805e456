/* The table of extensions: out of a sealed image, by way of its kind's operations. */
#include "live/extension.h"

#include <string.h>

#include "bpf/bpf.h"
#include "kernel/kernel.h"
#include "live/kinds.h"
#include "live/program.h"

static struct extension extensions[EXTENSIONS_MAX];
static uint32_t next_handle;

#define ROW(kind, operations) [kind] = &(operations),
static const struct extension_ops *const kinds[] = {EXTENSION_KINDS(ROW)};

void extensions_init(void)
{
    memset(extensions, 0, sizeof(extensions));
    next_handle = 1;
    programs_init();
}

struct extension *extension_find(uint32_t handle)
{
    for (uint32_t i = 0; handle != 0 && i < EXTENSIONS_MAX; i++) {
        if (extensions[i].handle == handle)
            return &extensions[i];
    }
    return NULL;
}

uint32_t extensions_loaded(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < EXTENSIONS_MAX; i++)
        count += extensions[i].handle != 0;
    return count;
}

uint32_t extension_index(const struct extension *extension)
{
    return (uint32_t)(extension - extensions);
}

static bool unseal(struct extension *extension, const uint8_t *bytes, size_t size, struct refusal *refusal)
{
    struct image image;
    struct image_refusal seen;
    if (!image_unseal(bytes, size, build_public_key, &image, &seen)) {
        return refuse(refusal, seen.status, "image: %s: expected: %s, seen: 0x%lx", seen.what, seen.expected,
                      (unsigned long)seen.seen);
    }
    const struct assay_image_header *header = image.header;
    extension->ops = kinds[header->kind];
    extension->flags = header->flags;
    extension->slot = (struct slot){header->hook, header->priority};
    extension->test_mem_size = bpf_hook_in(BPF_HOOKS_WITH_MEMORY, header->hook) ? header->test_mem_size : 0;
    extension->seed = header->seed;
    memcpy(extension->name, header->name, sizeof(extension->name));
    return extension->ops->load(extension, &image, refusal);
}

static bool load(struct extension *extension, const uint8_t *image, size_t size, struct load_cost *cost,
                 struct refusal *refusal)
{
    struct pmu_window window = pmu_begin();
    bool good = unseal(extension, image, size, refusal);
    cost->unseal = pmu_end(window);
    if (!good)
        return false;
    window = pmu_begin();
    good = extension->ops->verify(extension, refusal);
    cost->verify = pmu_end(window);
    if (!good)
        return false;
    window = pmu_begin();
    good = extension->ops->emit(extension, refusal);
    cost->jit = pmu_end(window);
    return good;
}

struct extension *extension_load(const uint8_t *image, size_t size, struct load_cost *cost,
                                 struct refusal *refusal)
{
    uint32_t i = 0;
    while (i < EXTENSIONS_MAX && extensions[i].handle != 0)
        i++;
    if (i == EXTENSIONS_MAX) {
        (void)refuse(refusal, ASSAY_STATUS_NO_MEMORY, "expected: at most %u programs loaded; unload some",
                     EXTENSIONS_MAX);
        return NULL;
    }
    struct extension *extension = &extensions[i];
    extension->handle = next_handle;
    if (!load(extension, image, size, cost, refusal)) {
        extension_free(extension);
        return NULL;
    }
    next_handle++;
    return extension;
}

/*
 * Cores other than the boot core are parked and never run a hook (kernel.h), so a grace period only requires that no
 * core is inside an extension; a violation is detected here.
 */
void extension_free(struct extension *extension)
{
    for (uint32_t core = 0; core < CPU_MAX; core++) {
        if (cpus[core].live != NULL)
            panic("live: an extension is freed while a core runs one");
    }
    if (extension->ops != NULL)
        extension->ops->free(extension);
    memset(extension, 0, sizeof(*extension));
    /* The code's pages may be written again: drop what this core has fetched of them . */
    __asm__ volatile("isb" : : : "memory");
}
