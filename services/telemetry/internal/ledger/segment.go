package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/services/telemetry/internal/figure"
)

// segment is a file of figures. It never changes.
type segment struct {
	name string
	id   uint64
	step time.Duration
	// first and last are where its first and last step begin.
	first, last time.Time
	size        int64
	replaces    []string
	// sequences of the reports in it, by router.
	sequences map[string]int64
}

func segmentName(id uint64) string { return fmt.Sprintf("figures-%020d", id) }

// writeSegment writes figures as a new segment.
func writeSegment(folder string, s segment, set figure.Set) (segment, error) {
	s.name = segmentName(s.id)
	s.first, s.last, _ = set.Span()
	temp := filepath.Join(folder, s.name+".tmp")
	size, err := writeSegmentTo(temp, s, set)
	if err == nil {
		err = os.Rename(temp, filepath.Join(folder, s.name))
	}
	if err != nil {
		os.Remove(temp)
		return segment{}, err
	}
	s.size = size
	return s, syncFolder(folder)
}

func writeSegmentTo(path string, s segment, set figure.Set) (size int64, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, 1<<16)
	put := func(b []byte) error {
		size += int64(len(b))
		_, err := out.Write(b)
		return err
	}
	header, err := frame(&telemetryv1.SegmentHeader{
		StepNanos: int64(s.step), Replaces: s.replaces, Sequences: s.sequences,
		StartUnixNanos: s.first.UnixNano(), EndUnixNanos: s.last.UnixNano(),
	})
	if err := errors.Join(err, put([]byte(magic)), put(header)); err != nil {
		return 0, err
	}
	for _, at := range slices.SortedFunc(maps.Keys(set), time.Time.Compare) {
		b, err := frame(stored(at, set[at]))
		if err := errors.Join(err, put(b)); err != nil {
			return 0, err
		}
	}
	return size, errors.Join(out.Flush(), f.Sync())
}

// openSegment reads the header of a segment.
func openSegment(folder, name string, id uint64) (segment, error) {
	f, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		return segment{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return segment{}, err
	}
	header := &telemetryv1.SegmentHeader{}
	if err := readHeader(bufio.NewReader(f), header); err != nil {
		return segment{}, err
	}
	return segment{
		name: name, id: id, size: info.Size(), step: time.Duration(header.GetStepNanos()),
		first: time.Unix(0, header.GetStartUnixNanos()).UTC(), last: time.Unix(0, header.GetEndUnixNanos()).UTC(),
		replaces: header.GetReplaces(), sequences: header.GetSequences(),
	}, nil
}

func readHeader(in io.Reader, header *telemetryv1.SegmentHeader) error {
	begin := make([]byte, len(magic))
	if _, err := io.ReadFull(in, begin); err != nil || string(begin) != magic {
		return errTorn
	}
	return next(in, header)
}

// next reads one record; io.EOF when there is no more.
func next(in io.Reader, into proto.Message) error {
	head := make([]byte, frameHead)
	if _, err := io.ReadFull(in, head); err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return errTorn
	}
	size := int(uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16 | uint32(head[3])<<24)
	if size > maxRecord {
		return errTorn
	}
	whole := make([]byte, frameHead+size)
	copy(whole, head)
	if _, err := io.ReadFull(in, whole[frameHead:]); err != nil {
		return errTorn
	}
	record, _, err := unframe(whole)
	if err != nil {
		return err
	}
	return proto.Unmarshal(record, into)
}

// scan shows every entry that the filter wants.
func (s segment) scan(folder string, filter figure.Filter, see func(figure.Entry)) error {
	f, err := os.Open(filepath.Join(folder, s.name))
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	if err := readHeader(in, &telemetryv1.SegmentHeader{}); err != nil {
		return err
	}
	for {
		step := &telemetryv1.StoredFigures{}
		switch err := next(in, step); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		start := time.Unix(0, step.GetStartUnixNanos()).UTC()
		if !start.Before(filter.To) || !start.Add(s.step).After(filter.From) {
			continue
		}
		for _, f := range step.GetFigures() {
			key := keyOf(f)
			if !filter.Wants(start, s.step, key) {
				continue
			}
			figures, err := figuresOf(f)
			if err != nil {
				return err
			}
			see(figure.Entry{Start: start, Step: s.step, Key: key, Figures: figures})
		}
	}
}
