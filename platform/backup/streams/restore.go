package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server/archive"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fairlead/fairlead/platform/backup"
)

const (
	restoreAPI = "$JS.API.STREAM.RESTORE."
	// The server gives a restore up when it has not taken a chunk in 5 seconds, in
	// which it syncs every message: blocks and chunks hold few of them.
	chunkSize      = 16 << 10
	blockSize      = 8 << 10
	requestTimeout = 30 * time.Second
	// finishTimeout is for the server to make a stream of what it was sent.
	finishTimeout = 5 * time.Minute
)

// Restore makes a stream of a part's messages. The stream must not exist.
func Restore(ctx context.Context, conn *Conn, s backup.Stream, part io.Reader) error {
	deliver, err := beginRestore(ctx, conn, s)
	if err != nil {
		return fmt.Errorf("restore stream %s: %w", s.Name, err)
	}
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := writeArchive(w, s, part)
		_ = w.CloseWithError(err)
		written <- err
	}()
	err = sendChunks(ctx, conn, deliver, r)
	_ = r.CloseWithError(err) // ends the writer, if it still writes
	if bad := <-written; bad != nil && (err == nil || errors.Is(err, bad)) {
		err = bad
	}
	if err != nil {
		return fmt.Errorf("restore stream %s: %w", s.Name, err)
	}
	return check(ctx, conn, s)
}

// RestoreOrder gives streams in the order in which to restore them: one that sources
// others comes after them, and finds them when it begins.
func RestoreOrder(all []backup.Stream) []backup.Stream {
	sources := func(s backup.Stream) int {
		var config jetstream.StreamConfig
		_ = json.Unmarshal(s.Config, &config) // Restore reports it
		return len(config.Sources)
	}
	ordered := slices.Clone(all)
	slices.SortStableFunc(ordered, func(a, b backup.Stream) int { return sources(a) - sources(b) })
	return ordered
}

// answer is what the server says to every step.
type answer struct {
	Error *struct {
		Description string `json:"description"`
	} `json:"error"`
	DeliverSubject string `json:"deliver_subject"`
}

func ask(ctx context.Context, conn *Conn, subject string, data []byte, timeout time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var a answer
	msg, err := conn.RequestWithContext(ctx, subject, data)
	if err != nil || len(msg.Data) == 0 {
		return a, err
	}
	if err := json.Unmarshal(msg.Data, &a); err != nil {
		return a, fmt.Errorf("read the server's answer: %w", err)
	}
	if a.Error != nil {
		return a, fmt.Errorf("the NATS server refuses: %s", a.Error.Description)
	}
	return a, nil
}

// beginRestore gives the subject that takes the stream's content.
func beginRestore(ctx context.Context, conn *Conn, s backup.Stream) (string, error) {
	var config jetstream.StreamConfig
	if err := json.Unmarshal(s.Config, &config); err != nil {
		return "", fmt.Errorf("read its configuration: %w", err)
	}
	for name := range config.Metadata {
		if strings.HasPrefix(name, "_nats.") { // the server's own remarks
			delete(config.Metadata, name)
		}
	}
	request, err := json.Marshal(map[string]any{"config": config, "state": map[string]any{}})
	if err != nil {
		return "", err
	}
	a, err := ask(ctx, conn, restoreAPI+s.Name, request, requestTimeout)
	if err == nil && a.DeliverSubject == "" {
		err = errors.New("the NATS server does not say where to send it")
	}
	return a.DeliverSubject, err
}

// sendChunks sends what r gives. Each chunk is answered before the next is sent.
func sendChunks(ctx context.Context, conn *Conn, deliver string, r io.Reader) error {
	chunk := make([]byte, chunkSize)
	for {
		n, err := io.ReadFull(r, chunk)
		if n > 0 {
			if _, err := ask(ctx, conn, deliver, chunk[:n], requestTimeout); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			_, err := ask(ctx, conn, deliver, nil, finishTimeout)
			return err
		case err != nil:
			return err
		}
	}
}

// check compares the stream with what was to become of it.
func check(ctx context.Context, conn *Conn, s backup.Stream) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, s.Name)
	if err != nil {
		return fmt.Errorf("look at the restored stream %s: %w", s.Name, err)
	}
	if state := stream.CachedInfo().State; state.LastSeq < s.LastSequence {
		return fmt.Errorf("restore stream %s: it ends with %d instead of %d", s.Name, state.LastSeq, s.LastSequence)
	}
	return nil
}

// writeArchive writes the form in which a server takes a stream: state, consumers,
// messages, end.
func writeArchive(w io.Writer, s backup.Stream, part io.Reader) error {
	packed := s2.NewWriter(w, s2.WriterBlockSize(blockSize), s2.WriterConcurrency(1))
	out := archive.NewWriter(packed)
	now := time.Now()
	state := map[string]any{
		"messages": s.Messages, "bytes": s.Bytes, "first_seq": s.FirstSequence, "last_seq": s.LastSequence,
		"first_ts": time.Time{}, "last_ts": time.Time{}, "consumer_count": len(s.Consumers),
	}
	if err := writeJSON(out, "state.json", now, state); err != nil {
		return err
	}
	for _, c := range s.Consumers {
		at := map[string]uint64{"consumer_seq": c.ConsumerSequence, "stream_seq": c.StreamSequence}
		entry := map[string]any{"config": c.Config, "state": map[string]any{"delivered": at, "ack_floor": at}}
		if err := writeJSON(out, "consumers/"+c.Name, now, entry); err != nil {
			return err
		}
	}
	err := readMessages(part, func(m message) error {
		header := forgetIdentity(m.header)
		return writeEntry(out, archive.Header{
			Name: m.subject, Timestamp: m.nanos, Sequence: m.sequence,
			HeaderSize: int64(len(header)), PayloadSize: int64(len(m.data)),
		}, header, m.data)
	})
	if err != nil {
		return err
	}
	return errors.Join(writeEntry(out, archive.Header{}), out.Close(), packed.Close())
}

func writeJSON(out *archive.Writer, name string, now time.Time, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return writeEntry(out, archive.Header{Name: name, Timestamp: now.UnixNano(), PayloadSize: int64(len(raw))}, raw)
}

func writeEntry(out *archive.Writer, header archive.Header, contents ...[]byte) error {
	if err := out.WriteHeader(&header); err != nil {
		return err
	}
	for _, c := range contents {
		if _, err := out.Write(c); err != nil {
			return err
		}
	}
	return nil
}

// Remove deletes a stream, for one whose restore failed; no error when it is not there.
func Remove(ctx context.Context, conn *Conn, name string) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	if err := js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("remove stream %s: %w", name, err)
	}
	return nil
}

// Verify reads a part and compares it with the description of its stream.
func Verify(s backup.Stream, part io.Reader) error {
	var messages, bytes, last uint64
	err := readMessages(part, func(m message) error {
		messages, bytes, last = messages+1, bytes+m.size(), m.sequence
		return nil
	})
	if err != nil {
		return fmt.Errorf("stream %s: %w", s.Name, err)
	}
	if messages != s.Messages || bytes != s.Bytes || last > s.LastSequence {
		return fmt.Errorf("stream %s: %w", s.Name, malformed(fmt.Errorf(
			"%d messages of %d bytes up to %d, expected %d of %d bytes up to %d", messages, bytes, last, s.Messages, s.Bytes, s.LastSequence)))
	}
	return nil
}
