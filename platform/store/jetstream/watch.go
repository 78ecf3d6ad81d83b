package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/fairlead/fairlead/platform/store"
)

const (
	watchTick       = time.Second      // how often a quiet watch looks at its connection
	identityEvery   = 10 * time.Second // how often it compares itself with the stream
	consumerIdle    = 2 * time.Minute  // when the server forgets a watch that went away
	pullBatch       = 512
	firstRelistWait = 20 * time.Millisecond
	lastRelistWait  = 5 * time.Second
)

// Watch implements store.Watcher. It reads all of the service's state and selects
// by prefix here, so that it sees every revision go by and can report progress.
func (s *Store) Watch(ctx context.Context, prefix string) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		if err := store.ValidatePrefix(prefix); err != nil {
			yield(store.Change{}, err)
			return
		}
		w := &watch{store: s, prefix: prefix, yield: yield, known: map[string]known{}}
		wait := firstRelistWait
		for {
			synced, err := w.session(ctx)
			if errors.Is(err, errStopped) {
				return
			}
			if ctx.Err() != nil {
				yield(store.Change{}, ctx.Err())
				return
			}
			s.logger.Warn("watch interrupted, listing anew", "stream", s.name, "prefix", prefix, "error", err)
			if synced {
				wait = firstRelistWait
			}
			timer := time.NewTimer(wait/2 + rand.N(wait))
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
			wait = min(2*wait, lastRelistWait)
		}
	}
}

var (
	errStopped     = errors.New("the caller stopped the watch")
	errReconnected = errors.New("the connection was lost")
	errGap         = errors.New("messages were lost on the way")
	errOtherStream = errors.New("the stream was made anew or restored")
)

// known is a key that was reported as present.
type known struct {
	revision store.Revision
	session  int
	expires  time.Time // zero: never
}

type watch struct {
	store  *Store
	prefix string
	yield  func(store.Change, error) bool

	// known outlives a session, so that the next can report what is gone.
	known    map[string]known
	expiring int // how many of known have expires set
	sessions int
}

// session is one consumer: from listing everything to its loss.
type session struct {
	*watch
	consumer   natsjs.Consumer
	created    time.Time // of the stream
	reconnects uint64
	received   uint64 // how many messages of this consumer
	seen       uint64 // position of the last of them
	revision   uint64 // up to which nothing is missing, once synced
	newest     uint64 // position of the newest state when the session began
	synced     bool
	checked    time.Time
	swept      time.Time
	delivered  uint64 // how many messages the consumer had sent at the last check
}

// session always ends with an error, errStopped if the caller wants no more.
func (w *watch) session(ctx context.Context) (synced bool, err error) {
	w.sessions++
	now := time.Now()
	ss := &session{watch: w, reconnects: w.store.conn.Stats().Reconnects, checked: now, swept: now}
	info, newest, err := ss.position(ctx)
	if err != nil {
		return false, err
	}
	ss.created, ss.revision, ss.newest = info.Created, info.State.LastSeq, newest
	ss.consumer, err = w.store.js.CreateConsumer(ctx, w.store.name, natsjs.ConsumerConfig{
		Name:              "watch-" + nuid.Next(),
		DeliverPolicy:     natsjs.DeliverLastPerSubjectPolicy,
		FilterSubject:     w.store.subjects.state(),
		AckPolicy:         natsjs.AckNonePolicy,
		MaxDeliver:        1,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: consumerIdle,
	})
	if err != nil {
		return false, unavailable(err)
	}
	defer ss.forget(ctx)
	messages, err := ss.consumer.Messages(natsjs.PullMaxMessages(pullBatch))
	if err != nil {
		return false, fmt.Errorf("the consumer can't be read: %w", err)
	}
	defer messages.Stop()
	if newest == 0 && ss.consumer.CachedInfo().NumPending == 0 {
		if err := ss.sync(); err != nil {
			return false, err
		}
	}
	for {
		if err := ss.step(ctx, messages); err != nil {
			return ss.synced, err
		}
	}
}

// forget removes the consumer; if it can't, the server does after consumerIdle.
func (ss *session) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if ss.store.conn.IsConnected() {
		_ = ss.store.js.DeleteConsumer(ctx, ss.store.name, ss.consumer.CachedInfo().Name)
	}
}

// step waits for one message, or for a tick.
func (ss *session) step(ctx context.Context, messages natsjs.MessagesContext) error {
	tick, cancel := context.WithTimeout(ctx, watchTick)
	msg, err := messages.Next(natsjs.NextContext(tick))
	cancel()
	if ss.store.conn.Stats().Reconnects != ss.reconnects {
		return errReconnected
	}
	switch {
	case err == nil:
		if err := ss.take(msg); err != nil {
			return err
		}
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return ss.upkeep(ctx, time.Now())
}

// upkeep does what is due by time and not by messages.
func (ss *session) upkeep(ctx context.Context, now time.Time) error {
	every := identityEvery
	if !ss.synced {
		every = watchTick
	}
	if now.Sub(ss.checked) >= every {
		ss.checked = now
		if err := ss.check(ctx); err != nil {
			return err
		}
	}
	if ss.expiring > 0 && now.Sub(ss.swept) >= watchTick {
		ss.swept = now
		return ss.expire(ctx, now)
	}
	return nil
}

func (ss *session) take(msg natsjs.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	ss.received++
	if meta.Sequence.Consumer != ss.received {
		return errGap
	}
	ss.seen = meta.Sequence.Stream
	ss.revision = max(ss.revision, ss.seen)
	if err := ss.report(msg, meta); err != nil {
		return err
	}
	if !ss.synced && meta.NumPending == 0 && ss.seen >= ss.newest {
		return ss.sync()
	}
	return nil
}

func (ss *session) report(msg natsjs.Msg, meta *natsjs.MsgMetadata) error {
	revision := store.Revision(meta.Sequence.Stream)
	key, ok := ss.store.subjects.parse(msg.Subject())
	if !ok {
		ss.store.logger.Error("a message in the state stream is no key of ours", "stream", ss.store.name, "subject", msg.Subject())
	}
	if !ok || !store.Below(ss.prefix, key) {
		return ss.progress(revision)
	}
	if isMarker(msg.Headers()) {
		if _, present := ss.known[key]; !present {
			return ss.progress(revision)
		}
		return ss.gone(key, revision)
	}
	k := known{revision: revision, session: ss.sessions}
	if ttl, err := time.ParseDuration(msg.Headers().Get(ttlHeader)); err == nil {
		k.expires = meta.Timestamp.Add(ttl)
	}
	ss.remember(key, k)
	return ss.give(store.ChangePut, store.Entry{Key: key, Value: msg.Data(), Revision: revision})
}

// progress is only of use, and only true, once everything was listed.
func (ss *session) progress(r store.Revision) error {
	if !ss.synced {
		return nil
	}
	return ss.give(store.ChangeProgress, store.Entry{Revision: r})
}

func (ss *session) give(kind store.ChangeKind, e store.Entry) error {
	if !ss.yield(store.Change{Kind: kind, Entry: e}, nil) {
		return errStopped
	}
	return nil
}

func (ss *session) gone(key string, r store.Revision) error {
	ss.remember(key, known{})
	delete(ss.known, key)
	return ss.give(store.ChangeDelete, store.Entry{Key: key, Revision: r})
}

func (ss *session) remember(key string, k known) {
	if !ss.known[key].expires.IsZero() {
		ss.expiring--
	}
	if !k.expires.IsZero() {
		ss.expiring++
	}
	ss.known[key] = k
}

// sync ends the listing: keys known from before that it did not report are gone.
func (ss *session) sync() error {
	for key, k := range ss.known {
		if k.session != ss.sessions {
			if err := ss.gone(key, k.revision); err != nil {
				return err
			}
		}
	}
	ss.synced = true
	return ss.give(store.ChangeSynced, store.Entry{Revision: store.Revision(ss.revision)})
}

// expire reports keys that vanished by their TTL, for which the stream has no
// message. The server decides; the time only says when to ask.
func (ss *session) expire(ctx context.Context, now time.Time) error {
	for key, k := range ss.known {
		if k.expires.IsZero() || now.Before(k.expires) {
			continue
		}
		m, err := ss.store.last(ctx, ss.store.subjects.key(key))
		if err != nil {
			return err
		}
		if m.seq == 0 {
			if err := ss.gone(key, k.revision); err != nil {
				return err
			}
		}
	}
	return nil
}

// position asks the stream's leader where it is, and where its newest state is.
func (ss *session) position(ctx context.Context) (*natsjs.StreamInfo, uint64, error) {
	info, err := ss.store.stream.Info(ctx)
	if err != nil {
		return nil, 0, unavailable(err)
	}
	newest, err := ss.store.last(ctx, ss.store.subjects.state())
	return info, newest.seq, err
}

// check compares the session with the stream and its consumer. A watch whose stream
// was replaced or rolled back receives nothing, without any error. A consumer may
// sit on a server that lags, so only the leader's positions say what is complete.
func (ss *session) check(ctx context.Context) error {
	info, newest, err := ss.position(ctx)
	if err != nil {
		return err
	}
	if !info.Created.Equal(ss.created) || info.State.LastSeq < ss.seen {
		return errOtherStream
	}
	state, err := ss.consumer.Info(ctx)
	if err != nil {
		return unavailable(err)
	}
	if ss.delivered > ss.received {
		return errGap // sent before the last check, and still not here
	}
	ss.delivered = state.Delivered.Consumer
	if newest > ss.seen {
		return nil
	}
	ss.revision = max(ss.revision, info.State.LastSeq)
	if !ss.synced {
		return ss.sync()
	}
	return ss.progress(store.Revision(ss.revision))
}
