/* Shared only by the channel's own files. */
#ifndef ASSAY_CHANNEL_CHANNEL_INTERNAL_H
#define ASSAY_CHANNEL_CHANNEL_INTERNAL_H

#include "assay_messages.h"

/* Handlers only: calls `action` once the reply and the queued events are on their way. */
void channel_after_reply(void (*action)(void));

/* Fills the frame statistics of STATUS. */
void channel_frame_status(struct assay_status_response *status);

#endif
