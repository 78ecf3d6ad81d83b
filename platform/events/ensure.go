package events

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	defaultMaxAge   = 7 * 24 * time.Hour
	defaultMaxBytes = 1 << 30

	// dedupeWindow bounds how long a source that is read again is recognised.
	dedupeWindow = time.Hour

	lockStream  = "EVENTS_LOCK"
	lockSubject = "fairlead.lock.events"
	lockTTL     = 10 * time.Second

	codeMaximumMessages = 10077
)

// LogConfig is what a user may set of the log. Zero values mean defaults.
type LogConfig struct {
	// MaxAge is how long an event stays readable; default 7 days.
	MaxAge time.Duration
	// MaxBytes bounds the log; the oldest events go first. Default 1 GiB.
	MaxBytes int64
	// Replicas is 1 (the default) or, in a NATS cluster, 3 or 5.
	Replicas int
}

// EnsureLog creates the log or adds the services named to it; services already
// there stay. Services may call it in any order and at the same time, also before
// their own stream exists. The configuration of the last caller holds.
func EnsureLog(ctx context.Context, js jetstream.JetStream, cfg LogConfig, services ...string) error {
	for _, s := range services {
		if !isToken(s) {
			return invalid("service", "%q must be letters, digits, '-' and '_'", s)
		}
	}
	// A stream's configuration is replaced as a whole and without compare-and-set:
	// two callers that add themselves at once would undo each other, and a source
	// that is removed and added again is read from its beginning.
	unlock, err := lockLog(ctx, js)
	if err != nil {
		return fmt.Errorf("the event log's lock: %w", err)
	}
	defer unlock()

	want := logConfig(cfg)
	stream, err := js.Stream(ctx, StreamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		addSources(&want, services)
		if _, err := js.CreateStream(ctx, want); err != nil {
			return fmt.Errorf("the event log can't be created: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("the event log can't be read: %w", err)
	}
	have := stream.CachedInfo().Config
	want.Sources = slices.Clone(have.Sources)
	if !addSources(&want, services) && have.MaxAge == want.MaxAge && have.MaxBytes == want.MaxBytes && have.Replicas == want.Replicas {
		return nil
	}
	if _, err := js.UpdateStream(ctx, want); err != nil {
		return fmt.Errorf("the event log can't be changed: %w", err)
	}
	return nil
}

func logConfig(cfg LogConfig) jetstream.StreamConfig {
	if cfg.MaxAge == 0 {
		cfg.MaxAge = defaultMaxAge
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = 1
	}
	return jetstream.StreamConfig{
		Name:        StreamName,
		Description: "Fairlead's lifecycle events",
		Storage:     jetstream.FileStorage,
		Replicas:    cfg.Replicas,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxAge:      cfg.MaxAge,
		MaxBytes:    cfg.MaxBytes,
		MaxMsgs:     -1,
		Duplicates:  min(dedupeWindow, cfg.MaxAge),
		DenyDelete:  true,
		// AllowMsgTTL stays off: events carry the outbox's short TTL, which must not
		// apply here.
		RePublish: &jetstream.RePublish{Source: subjectPrefix + ">", Destination: subjectPrefix + ">"},
	}
}

// addSources tells whether there was something to add.
func addSources(cfg *jetstream.StreamConfig, services []string) bool {
	added := false
	for _, s := range services {
		name := OutboxStream(s)
		if slices.ContainsFunc(cfg.Sources, func(src *jetstream.StreamSource) bool { return src.Name == name }) {
			continue
		}
		cfg.Sources = append(cfg.Sources, &jetstream.StreamSource{
			Name:              name,
			SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: outboxPattern(s), Destination: logPattern(s)}},
		})
		added = true
	}
	return added
}

// lockLog takes a lock that all callers share: a stream with room for one message,
// which expires when its writer dies.
func lockLog(ctx context.Context, js jetstream.JetStream) (unlock func(), err error) {
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        lockStream,
		Description: "held while the configuration of " + StreamName + " changes",
		Subjects:    []string{lockSubject},
		Storage:     jetstream.MemoryStorage,
		MaxMsgs:     1,
		Discard:     jetstream.DiscardNew,
		MaxAge:      lockTTL,
		Duplicates:  lockTTL,
	})
	if err != nil {
		return nil, err
	}
	for {
		ack, err := js.Publish(ctx, lockSubject, nil)
		if err == nil {
			return func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockTTL)
				defer cancel()
				// Left alone, the lock expires by itself.
				_ = stream.DeleteMsg(ctx, ack.Sequence)
			}, nil
		}
		var apiErr *jetstream.APIError
		if !errors.As(err, &apiErr) || apiErr.ErrorCode != codeMaximumMessages {
			return nil, err
		}
		timer := time.NewTimer(10*time.Millisecond + rand.N(20*time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
}
