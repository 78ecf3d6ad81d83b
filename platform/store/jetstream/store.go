package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store"
)

const (
	defaultMaxBytes = 1 << 30
	defaultEventTTL = 72 * time.Hour
	maxMessage      = 1 << 20
	requestTimeout  = 5 * time.Second

	// The server accepts 50 batches in flight per stream.
	maxInFlight = 49

	// markerTTL is how long a deleted key leaves a marker. A watch never relies on
	// one: it lists anew after every interruption.
	markerTTL = "24h"

	operationHeader = "KV-Operation"
	deleteOperation = "DEL"
	ttlHeader       = "Nats-TTL"
)

// Config is what a user may set. Zero values mean defaults.
type Config struct {
	// Service names the stream; letters, digits, "-" and "_".
	Service string
	// Replicas is 1 (the default) or, in a NATS cluster, 3 or 5.
	Replicas int
	// MaxBytes bounds state and outgoing events together; default 1 GiB. Writes are
	// refused when it is reached.
	MaxBytes int64
	// EventTTL is how long an event waits to be sourced into the log; default 72 h.
	// It must exceed the longest time the log may be down.
	EventTTL time.Duration
}

// Deps is what code hands over.
type Deps struct {
	Conn   *nats.Conn
	Logger *slog.Logger
}

// Store is one service's state.
type Store struct {
	cfg      Config
	conn     *nats.Conn
	js       natsjs.JetStream
	stream   natsjs.Stream // by name: it may have been made anew meanwhile
	logger   *slog.Logger
	subjects subjects
	name     string // of the stream
	slots    chan struct{}
}

var _ store.Store = (*Store)(nil)

// Open creates the service's stream, or brings its configuration up to date, and
// gives the store. Nothing needs to be closed but the connection.
func Open(ctx context.Context, cfg Config, deps Deps) (*Store, error) {
	if cfg.Service == "" || strings.ContainsFunc(cfg.Service, func(r rune) bool { return r > 0x7f || !isPlain(byte(r)) }) {
		return nil, fmt.Errorf("store: service %q must be letters, digits, '-' and '_'", cfg.Service)
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = 1
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.EventTTL == 0 {
		cfg.EventTTL = defaultEventTTL
	}
	if cfg.EventTTL < time.Second {
		return nil, fmt.Errorf("store: events must wait at least a second to be sourced, not %v", cfg.EventTTL)
	}
	js, err := natsjs.New(deps.Conn, natsjs.WithDefaultTimeout(requestTimeout))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s := &Store{
		cfg:      cfg,
		conn:     deps.Conn,
		js:       js,
		logger:   deps.Logger,
		subjects: subjects{cfg.Service},
		name:     events.OutboxStream(cfg.Service),
		slots:    make(chan struct{}, maxInFlight),
	}
	if s.stream, err = js.CreateOrUpdateStream(ctx, s.streamConfig()); err != nil {
		return nil, fmt.Errorf("store: stream %s can't be created: %w", s.name, unavailable(err))
	}
	return s, nil
}

func (s *Store) streamConfig() natsjs.StreamConfig {
	return natsjs.StreamConfig{
		Name:        s.name,
		Description: "state and outgoing events of " + s.cfg.Service,
		Subjects:    []string{s.subjects.state(), events.OutboxSubjects(s.cfg.Service), s.subjects.guards()},
		Storage:     natsjs.FileStorage,
		Replicas:    s.cfg.Replicas,
		Retention:   natsjs.LimitsPolicy,
		Discard:     natsjs.DiscardNew,
		MaxMsgs:     -1,
		MaxBytes:    s.cfg.MaxBytes,
		MaxMsgSize:  maxMessage,
		Duplicates:  store.DedupeWindow,
		DenyDelete:  true,
		AllowRollup: true,
		// State has no age; events end by their own TTL. Markers left behind by a TTL
		// (SubjectDeleteMarkerTTL) stay off: every event would leave one, and they would
		// be sourced into the log.
		AllowMsgTTL:        true,
		AllowAtomicPublish: true,
		MaxMsgsPerSubject:  1,
		// AllowDirect stays off: a direct read may be answered by a replica that lags.
	}
}

// message is the newest message of a subject.
type message struct {
	seq    uint64 // 0: there is none
	marker bool   // the key was deleted
	id     string // Nats-Msg-Id
	value  []byte
}

// revision is the key's, 0 when it is absent.
func (m message) revision() store.Revision {
	if m.marker {
		return 0
	}
	return store.Revision(m.seq)
}

// last asks the leader.
func (s *Store) last(ctx context.Context, subject string) (message, error) {
	raw, err := s.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, natsjs.ErrMsgNotFound) {
		return message{}, nil
	}
	if err != nil {
		return message{}, unavailable(err)
	}
	return message{seq: raw.Sequence, marker: isMarker(raw.Header), id: raw.Header.Get(nats.MsgIdHdr), value: raw.Data}, nil
}

func isMarker(h nats.Header) bool { return h.Get(operationHeader) != "" }

// Get implements store.Reader.
func (s *Store) Get(ctx context.Context, key string) (store.Entry, error) {
	if err := store.NoKey(key); err != nil {
		return store.Entry{}, err
	}
	m, err := s.last(ctx, s.subjects.key(key))
	if err != nil {
		return store.Entry{}, err
	}
	if m.revision() == 0 {
		return store.Entry{}, fmt.Errorf("%w: %s", store.ErrNotFound, key)
	}
	return store.Entry{Key: key, Value: m.value, Revision: m.revision()}, nil
}

// List implements store.Reader. It walks the messages in the stream's order, each
// asked of the leader, until there are no more: what it has then is the state at
// that moment, because a key that changed during the walk comes again further on.
func (s *Store) List(ctx context.Context, prefix string) ([]store.Entry, store.Revision, error) {
	if err := store.ValidatePrefix(prefix); err != nil {
		return nil, 0, err
	}
	newest, err := s.last(ctx, s.subjects.state())
	if err != nil {
		return nil, 0, err
	}
	revision := store.Revision(newest.seq)
	found := map[string]store.Entry{}
	for seq := uint64(1); ; {
		raw, err := s.stream.GetMsg(ctx, seq, natsjs.WithGetMsgSubject(s.subjects.below(prefix)))
		if errors.Is(err, natsjs.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, 0, unavailable(err)
		}
		seq = raw.Sequence + 1
		revision = max(revision, store.Revision(raw.Sequence))
		key, ok := s.subjects.parse(raw.Subject)
		if !ok {
			s.logger.Error("a message in the state stream is no key of ours", "stream", s.name, "subject", raw.Subject)
			continue
		}
		if isMarker(raw.Header) {
			delete(found, key)
			continue
		}
		found[key] = store.Entry{Key: key, Value: raw.Data, Revision: store.Revision(raw.Sequence)}
	}
	entries := make([]store.Entry, 0, len(found))
	for _, e := range found {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) })
	return entries, revision, nil
}

// unavailable marks what is about the server, and not about the request.
func unavailable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}
