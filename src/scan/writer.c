/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/scan.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "inventory/network.h"

struct fl_store_writer {
	struct fl_encoder *encoder;
	struct fl_enricher *enricher;
	struct fl_network_times *times;
	struct fl_identities *identities;
};

void fl_store_writer_free(struct fl_store_writer **w)
{
	if (!*w)
		return;
	fl_enricher_free(&(*w)->enricher);
	fl_network_times_free(&(*w)->times);
	fl_identities_free(&(*w)->identities);
	free(*w);
	*w = NULL;
}

int fl_store_writer_new(struct fl_store_writer **ret, const struct fl_store *s, const struct fl_format *format,
			struct fl_encoder *encoder)
{
	FL_CLEANUP(fl_store_writer_free) struct fl_store_writer *w = calloc(1, sizeof *w);
	int r;

	if (!w)
		return -ENOMEM;
	w->encoder = encoder;
	r = fl_enricher_new(&w->enricher, format, &fl_store_log(s)->enrich);
	if (!r)
		r = fl_network_times_new(&w->times, fl_store_dir(s), fl_store_log(s)->inventory);
	if (!r)
		r = fl_identities_new(&w->identities, fl_store_dir(s));
	if (r)
		return r;
	*ret = w;
	w = NULL;
	return 0;
}

int fl_store_writer_frame(struct fl_store_writer *w, const struct fl_frame *frame)
{
	const struct fl_network *net = fl_network_times_at(w->times, frame->window.start);
	const struct fl_identity *who =
	    fl_identities_at(w->identities, frame->eni.interface_id, frame->window.start, frame->window.length);

	int r = fl_enricher_set(w->enricher, w->encoder, &frame->eni, net,
				net ? fl_network_eni(net, frame->eni.interface_id) : NULL, who ? &who->labels : NULL);

	return r || fl_enricher_covers(w->enricher) ? r : FL_STORE_OTHER_INTERFACE;
}

int fl_store_writer_record(struct fl_store_writer *w, const struct fl_frame *frame, const struct fl_record *r,
			   struct fl_buf *out)
{
	const struct fl_flow_line line = {
	    .key = &r->key,
	    .packets = r->packets,
	    .bytes = r->bytes,
	    .start = r->start,
	    .end = r->end,
	    .tcp = r->tcp,
	    .action = r->action,
	    .reason = r->reason,
	    .pkt_src = fl_frame_inside(frame, &r->key, false),
	    .pkt_dst = fl_frame_inside(frame, &r->key, true),
	};

	return r->status == FL_STATUS_OK ? fl_enrich_line(w->enricher, w->encoder, &line, out)
					 : fl_encode(w->encoder, r, NULL, out);
}
