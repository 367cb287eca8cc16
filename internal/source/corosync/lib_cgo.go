//go:build cgo

package corosync

/*
#cgo LDFLAGS: -lcmap -lquorum -lvotequorum
#include <stdlib.h>
#include <string.h>
#include <corosync/cmap.h>
#include <corosync/quorum.h>
#include <corosync/votequorum.h>

enum { QR_MAX_MEMBERS = 384, QR_MAX_TEXT = 256 };

// The last quorum notification. The library keeps a pointer to it, so it is C memory.
typedef struct {
	uint32_t seen, quorate, leader, members_len;
	uint64_t seq;
	uint32_t members[QR_MAX_MEMBERS];
} qr_view;

typedef struct {
	int32_t err;
	struct votequorum_info info;
} qr_votes;

typedef struct {
	int32_t err;
	int32_t type;
	uint64_t n;
	double f;
	uint32_t len;
	char s[QR_MAX_TEXT];
} qr_value;

static void qr_on_quorum(quorum_handle_t h, uint32_t quorate, struct quorum_ring_id ring,
		uint32_t len, const uint32_t *members) {
	const void *ctx = NULL;
	if (quorum_context_get(h, &ctx) != CS_OK || ctx == NULL) return;
	qr_view *v = (qr_view *)ctx;
	if (len > QR_MAX_MEMBERS) len = QR_MAX_MEMBERS;
	v->seen = 1;
	v->quorate = quorate;
	v->leader = ring.nodeid;
	v->seq = ring.seq;
	v->members_len = len;
	if (len > 0) memcpy(v->members, members, len * sizeof members[0]);
}

// Model v1 sends this along; a missing callback would end the dispatch early.
static void qr_on_nodelist(quorum_handle_t h, struct quorum_ring_id ring, uint32_t n, const uint32_t *l,
		uint32_t jn, const uint32_t *j, uint32_t ln, const uint32_t *lf) {
	(void)h; (void)ring; (void)n; (void)l; (void)jn; (void)j; (void)ln; (void)lf;
}

static int qr_open_quorum(quorum_handle_t *h, qr_view *v) {
	quorum_model_v1_data_t d;
	uint32_t type = 0;
	memset(&d, 0, sizeof d);
	d.model = QUORUM_MODEL_V1;
	d.quorum_notify_fn = qr_on_quorum;
	d.nodelist_notify_fn = qr_on_nodelist;
	return quorum_model_initialize(h, QUORUM_MODEL_V1, (quorum_model_data_t *)&d, &type, v);
}

static int qr_open_votequorum(votequorum_handle_t *h) {
	votequorum_callbacks_t none;
	memset(&none, 0, sizeof none);
	return votequorum_initialize(h, &none);
}

// qr_read_quorum asks for one notification and takes it in. Without one (it is not part of the
// reply, only sent before it) the plain question still tells quorate.
static int qr_read_quorum(quorum_handle_t h, qr_view *v) {
	v->seen = 0;
	int e = quorum_trackstart(h, CS_TRACK_CURRENT);
	if (e != CS_OK) return e;
	e = quorum_dispatch(h, CS_DISPATCH_ALL);
	if (e != CS_OK || v->seen) return e;
	int quorate = 0;
	e = quorum_getquorate(h, &quorate);
	v->quorate = quorate != 0;
	v->members_len = 0;
	return e;
}

static int qr_read_votes(votequorum_handle_t h, const uint32_t *ids, uint32_t n, qr_votes *out) {
	for (uint32_t i = 0; i < n; i++) {
		memset(&out[i], 0, sizeof out[i]);
		out[i].err = votequorum_getinfo(h, ids[i], &out[i].info);
		if (out[i].err != CS_OK && out[i].err != CS_ERR_NOT_EXIST) return out[i].err;
	}
	return CS_OK;
}

typedef union {
	uint8_t u8; int8_t i8; uint16_t u16; int16_t i16; uint32_t u32; int32_t i32;
	uint64_t u64; int64_t i64; float f; double d; char s[QR_MAX_TEXT];
} qr_raw;

// qr_get reads n keys, whose names stand one after the other in keys, each ended by a NUL. A key
// that is not there (or is longer than any we want) keeps its error and does not end the rest.
static int qr_get(cmap_handle_t h, const char *keys, uint32_t n, qr_value *out) {
	for (uint32_t i = 0; i < n; i++, keys += strlen(keys) + 1) {
		qr_value *o = &out[i];
		qr_raw v;
		size_t len = sizeof v;
		cmap_value_types_t t = 0;
		o->type = 0; o->n = 0; o->f = 0; o->len = 0;
		o->err = cmap_get(h, keys, &v, &len, &t);
		if (o->err == CS_ERR_NOT_EXIST || o->err == CS_ERR_INVALID_PARAM) continue;
		if (o->err != CS_OK) return o->err;
		o->type = t;
		switch (t) {
		case CMAP_VALUETYPE_UINT8:  o->n = v.u8; break;
		case CMAP_VALUETYPE_UINT16: o->n = v.u16; break;
		case CMAP_VALUETYPE_UINT32: o->n = v.u32; break;
		case CMAP_VALUETYPE_UINT64: o->n = v.u64; break;
		case CMAP_VALUETYPE_INT8:   o->n = v.i8 < 0 ? 0 : v.i8; break;
		case CMAP_VALUETYPE_INT16:  o->n = v.i16 < 0 ? 0 : v.i16; break;
		case CMAP_VALUETYPE_INT32:  o->n = v.i32 < 0 ? 0 : v.i32; break;
		case CMAP_VALUETYPE_INT64:  o->n = v.i64 < 0 ? 0 : v.i64; break;
		case CMAP_VALUETYPE_FLOAT:  o->f = v.f; break;
		case CMAP_VALUETYPE_DOUBLE: o->f = v.d; break;
		default:
			o->len = len < sizeof o->s ? len : sizeof o->s;
			memcpy(o->s, v.s, o->len);
		}
	}
	return CS_OK;
}
*/
import "C"

import (
	"bytes"
	"slices"
	"unsafe"
)

// connection is the daemon over its C libraries: four IPC connections that stay open. A handle is
// a number to look up, so no pointer of ours crosses over except the view.
type connection struct {
	view       *C.qr_view
	quorumH    C.quorum_handle_t
	votequorum C.votequorum_handle_t
	maps       [2]C.cmap_handle_t // by keyMap
	closers    []func()           // of what is open, in the order it was opened

	// Reused from one reading to the next. The library fills them during a call and keeps none.
	names  []byte
	values []C.qr_value
}

// openDaemon connects to the corosync of this network namespace.
func openDaemon() (daemon, error) {
	c := &connection{view: (*C.qr_view)(C.calloc(1, C.sizeof_qr_view))}
	c.closers = append(c.closers, func() { C.free(unsafe.Pointer(c.view)) })
	steps := []struct {
		call  string
		open  func() C.int
		close func()
	}{
		{"quorum_model_initialize",
			func() C.int { return C.qr_open_quorum(&c.quorumH, c.view) },
			func() { C.quorum_finalize(c.quorumH) }},
		{"votequorum_initialize",
			func() C.int { return C.qr_open_votequorum(&c.votequorum) },
			func() { C.votequorum_finalize(c.votequorum) }},
		{"cmap_initialize",
			func() C.int { return C.int(C.cmap_initialize(&c.maps[configMap])) },
			func() { C.cmap_finalize(c.maps[configMap]) }},
		{"cmap_initialize_map(stats)",
			func() C.int { return C.int(C.cmap_initialize_map(&c.maps[statsMap], C.CMAP_MAP_STATS)) },
			func() { C.cmap_finalize(c.maps[statsMap]) }},
	}
	for _, s := range steps {
		if err := csCheck(s.call, int(s.open())); err != nil {
			c.close()
			return nil, err
		}
		c.closers = append(c.closers, s.close)
	}
	return c, nil
}

func (c *connection) close() {
	for _, f := range slices.Backward(c.closers) {
		f()
	}
	c.closers = nil
}

func (c *connection) quorum() (quorumView, error) {
	if err := csCheck("quorum_trackstart", int(C.qr_read_quorum(c.quorumH, c.view))); err != nil {
		return quorumView{}, err
	}
	v := quorumView{quorate: c.view.quorate != 0}
	if c.view.seen != 0 {
		v.ring = Some(Ring{LeaderID: uint32(c.view.leader), Sequence: uint64(c.view.seq)})
	}
	for _, id := range c.view.members[:c.view.members_len] {
		v.members = append(v.members, uint32(id))
	}
	return v, nil
}

func (c *connection) votes(nodeIDs []uint32) ([]voteInfo, error) {
	if len(nodeIDs) == 0 {
		return nil, nil
	}
	raw := make([]C.qr_votes, len(nodeIDs))
	e := C.qr_read_votes(c.votequorum, (*C.uint32_t)(&nodeIDs[0]), C.uint32_t(len(nodeIDs)), &raw[0])
	if err := csCheck("votequorum_getinfo", int(e)); err != nil {
		return nil, err
	}
	out := make([]voteInfo, len(raw))
	for i := range raw {
		r := &raw[i].info
		out[i] = voteInfo{
			known: raw[i].err == C.CS_OK, member: r.node_state == C.VOTEQUORUM_NODESTATE_MEMBER,
			votes: uint32(r.node_votes), expected: uint32(r.node_expected_votes),
			highestExpected: uint32(r.highest_expected), total: uint32(r.total_votes),
			quorum: uint32(r.quorum), flags: uint32(r.flags), qdeviceVotes: uint32(r.qdevice_votes),
		}
	}
	return out, nil
}

func (c *connection) get(m keyMap, keys []string) ([]value, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	c.names = c.names[:0]
	for _, k := range keys {
		c.names = append(append(c.names, k...), 0)
	}
	c.values = slices.Grow(c.values[:0], len(keys))[:len(keys)]
	e := C.qr_get(c.maps[m], (*C.char)(unsafe.Pointer(&c.names[0])), C.uint32_t(len(keys)), &c.values[0])
	if err := csCheck("cmap_get", int(e)); err != nil {
		return nil, err
	}
	out := make([]value, len(keys))
	for i := range c.values {
		if c.values[i].err == C.CS_OK {
			out[i] = widen(&c.values[i])
		}
	}
	return out, nil
}

func widen(r *C.qr_value) value {
	switch r._type {
	case C.CMAP_VALUETYPE_FLOAT, C.CMAP_VALUETYPE_DOUBLE:
		return value{kind: float, f: float64(r.f)}
	case C.CMAP_VALUETYPE_STRING, C.CMAP_VALUETYPE_BINARY:
		b := C.GoBytes(unsafe.Pointer(&r.s[0]), C.int(r.len))
		s, _, _ := bytes.Cut(b, []byte{0})
		return value{kind: text, s: string(s)}
	}
	return value{kind: number, n: uint64(r.n)}
}
