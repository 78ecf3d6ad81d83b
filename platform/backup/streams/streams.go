// Package streams copies NATS streams into the parts of a backup and back.
//
// Guarantees of Capture, while the streams are written to:
//   - Every stream is as it was at one instant: no batch is halved, no key is missing.
//     It is the same instant for all, unless they change without a pause for long;
//     see Copy.Apart.
//   - A stream that sources others has everything that they held then, so that
//     nothing is sourced twice or never after a restore.
//
// A server's own snapshot gives neither: it walks up to the last message of its
// beginning, and a stream that keeps one message for each subject has lost those
// that were replaced meanwhile.
//
// Restore keeps sequences, times, headers and the positions of durable consumers.
// What has a time to live, and whose time is over, is left out, and its sequence
// is not used again. The functions may be called by several goroutines for
// different streams.
package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fairlead/fairlead/platform/backup"
)

const (
	// patience is how long to look for an instant at which nothing changes.
	patience = 10 * time.Second
	// longestCalm is how long nothing must change; half of it at the next attempt.
	longestCalm = 20 * time.Millisecond
	// fetchSize is how many messages are asked for at once.
	fetchSize = 500
	// fetchTimeout bounds the wait for messages that are known to be there.
	fetchTimeout = 10 * time.Second
	// consumerLife is how long the server keeps a consumer of ours that was left.
	consumerLife = time.Minute
)

// Conn is a connection to a NATS server.
type Conn = nats.Conn

// Progress hears what is copied: a stream, and its messages so far. It is called for
// several streams at the same time.
type Progress func(stream string, messages uint64)

// Names lists the streams whose messages are on disk.
func Names(ctx context.Context, conn *Conn) ([]string, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	var names []string
	list := js.ListStreams(ctx)
	for info := range list.Info() {
		if info.Config.Storage == jetstream.FileStorage {
			names = append(names, info.Config.Name)
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list the streams: %w", err)
	}
	return names, nil
}

// Target is where Capture puts the messages of a stream.
type Target struct {
	Stream string
	// Part takes them; the caller closes it.
	Part io.Writer
}

// Copy is what Capture gives.
type Copy struct {
	Streams []backup.Stream
	// Taken is the instant of the copy.
	Taken time.Time
	// Apart says that there was no instant at which nothing changed: each stream is
	// whole, but they were copied one after the other, milliseconds apart.
	Apart bool
}

// Capture copies the streams named, all at one instant.
func Capture(ctx context.Context, conn *Conn, targets []Target, progress Progress) (Copy, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return Copy{}, err
	}
	return capturePatiently(ctx, js, targets, progress, patience)
}

func capturePatiently(ctx context.Context, js jetstream.JetStream, targets []Target, progress Progress, patience time.Duration) (_ Copy, err error) {
	copies := make([]*streamCopy, 0, len(targets))
	defer func() {
		for _, c := range copies {
			err = errors.Join(err, c.close(ctx))
		}
	}()
	for _, t := range targets {
		c, err := openCopy(ctx, js, t, progress)
		if err != nil {
			return Copy{}, fmt.Errorf("copy stream %s: %w", t.Stream, err)
		}
		copies = append(copies, c)
	}
	result := Copy{}
	if result.Taken, result.Apart, err = settle(ctx, copies, patience); err != nil {
		return Copy{}, err
	}
	for _, c := range copies {
		s, err := c.finish(ctx)
		if err != nil {
			return Copy{}, fmt.Errorf("copy stream %s: %w", c.target.Stream, err)
		}
		result.Streams = append(result.Streams, s)
	}
	return result, nil
}

// settle copies until nothing has changed between two looks at all streams: at
// every moment between them all copies are equal to their streams. What was written
// shortly before has time to be sourced; there is less of it where changes are many.
// When patience ends first the streams are copied one after the other.
func settle(ctx context.Context, copies []*streamCopy, patience time.Duration) (at time.Time, apart bool, err error) {
	end := time.Now().Add(patience)
	for calm := longestCalm; ; calm /= 2 {
		if err := all(copies, func(c *streamCopy) error { return c.catchUp(ctx) }); err != nil {
			return at, false, err
		}
		at = time.Now().UTC()
		if at.After(end) {
			return at, true, oneByOne(ctx, copies)
		}
		timer := time.NewTimer(calm)
		select {
		case <-ctx.Done():
			timer.Stop()
			return at, false, ctx.Err()
		case <-timer.C:
		}
		var changed atomic.Bool
		err := all(copies, func(c *streamCopy) error {
			same, err := c.unchanged(ctx)
			if !same {
				changed.Store(true)
			}
			return err
		})
		if err != nil || !changed.Load() {
			return at, false, err
		}
	}
}

// all does something to all copies at the same time: the shorter it takes, the less
// changes meanwhile.
func all(copies []*streamCopy, do func(*streamCopy) error) error {
	var group sync.WaitGroup
	problems := make([]error, len(copies))
	for i, c := range copies {
		group.Go(func() {
			if err := do(c); err != nil {
				problems[i] = fmt.Errorf("copy stream %s: %w", c.target.Stream, err)
			}
		})
	}
	group.Wait()
	return errors.Join(problems...)
}

// oneByOne catches up with every stream a last time. One that sources others comes
// before them: what it has not sourced yet it finds after a restore, and nothing
// that it has is unknown to them.
func oneByOne(ctx context.Context, copies []*streamCopy) error {
	order := slices.Clone(copies)
	slices.SortStableFunc(order, func(a, b *streamCopy) int { return len(b.info.Sources) - len(a.info.Sources) })
	for _, c := range order {
		for again := true; again; again = c.open {
			if err := c.catchUp(ctx); err != nil {
				return fmt.Errorf("copy stream %s: %w", c.target.Stream, err)
			}
		}
	}
	return nil
}

// streamCopy is the copy of one stream.
type streamCopy struct {
	target   Target
	stream   jetstream.Stream
	consumer jetstream.Consumer
	info     *jetstream.StreamInfo // when it was last looked at
	progress Progress

	messages, bytes uint64
	first, last     uint64 // copied; 0 when none is
	open            bool   // the last message begins or continues a batch
}

func openCopy(ctx context.Context, js jetstream.JetStream, target Target, progress Progress) (*streamCopy, error) {
	stream, err := js.Stream(ctx, target.Stream)
	if err != nil {
		return nil, err
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Description: "a backup", AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		InactiveThreshold: consumerLife, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return nil, err
	}
	return &streamCopy{target: target, stream: stream, consumer: consumer, info: stream.CachedInfo(), progress: progress}, nil
}

func (c *streamCopy) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	err := c.stream.DeleteConsumer(ctx, c.consumer.CachedInfo().Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}

// catchUp copies until nothing is left: at that moment the copy has all that the
// stream has.
func (c *streamCopy) catchUp(ctx context.Context) error {
	for {
		state, err := c.consumer.Info(ctx)
		if err != nil {
			return err
		}
		if state.NumPending == 0 {
			return nil
		}
		if err := c.fetch(int(min(state.NumPending, fetchSize))); err != nil {
			return err
		}
	}
}

func (c *streamCopy) fetch(n int) error {
	batch, err := c.consumer.Fetch(n, jetstream.FetchMaxWait(fetchTimeout))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() {
		if err := c.add(msg); err != nil {
			return err
		}
	}
	if c.progress != nil {
		c.progress(c.target.Stream, c.messages)
	}
	return batch.Error()
}

func (c *streamCopy) add(msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	m := message{
		sequence: meta.Sequence.Stream, nanos: meta.Timestamp.UnixNano(),
		subject: msg.Subject(), header: encodeHeader(msg.Headers()), data: msg.Data(),
	}
	if m.sequence <= c.last {
		return fmt.Errorf("message %d came after %d", m.sequence, c.last)
	}
	if c.first == 0 {
		c.first = m.sequence
	}
	c.last, c.open = m.sequence, halved(msg.Headers())
	c.messages++
	c.bytes += m.size()
	return writeMessage(c.target.Part, m)
}

// unchanged says whether the stream is still as it was when it was caught up, ends
// with a whole batch, and has sourced all that there is.
func (c *streamCopy) unchanged(ctx context.Context) (bool, error) {
	info, err := c.stream.Info(ctx)
	if err != nil {
		return false, err
	}
	before := c.info
	c.info = info
	if !info.Created.Equal(before.Created) {
		return false, errors.New("the stream was replaced meanwhile: try again")
	}
	for _, s := range info.Sources {
		if s.Lag > 0 {
			return false, nil
		}
	}
	// The last message may be gone again: then the stream ends where it did before.
	return info.State.LastSeq == max(c.last, before.State.LastSeq) && !c.open, nil
}

const (
	batchHeader  = "Nats-Batch-Id"
	commitHeader = "Nats-Batch-Commit"
)

// halved says whether a message is of a batch and not its last.
func halved(header map[string][]string) bool {
	return len(header[batchHeader]) > 0 && len(header[commitHeader]) == 0
}

// finish ends the part and describes the stream.
func (c *streamCopy) finish(ctx context.Context) (backup.Stream, error) {
	s := backup.Stream{
		Name: c.target.Stream, FirstSequence: c.first, LastSequence: max(c.last, c.info.State.LastSeq),
		Messages: c.messages, Bytes: c.bytes,
	}
	if c.first == 0 {
		s.FirstSequence = s.LastSequence + 1
	}
	if err := writeMessage(c.target.Part, message{}); err != nil {
		return s, err
	}
	var err error
	if s.Config, err = json.Marshal(c.info.Config); err != nil {
		return s, err
	}
	list := c.stream.ListConsumers(ctx)
	for info := range list.Info() {
		if info.Config.Durable == "" {
			continue
		}
		config, err := json.Marshal(info.Config)
		if err != nil {
			return s, err
		}
		s.Consumers = append(s.Consumers, backup.Consumer{
			Name: info.Name, Config: config,
			ConsumerSequence: info.AckFloor.Consumer, StreamSequence: min(info.AckFloor.Stream, s.LastSequence),
		})
	}
	return s, list.Err()
}
