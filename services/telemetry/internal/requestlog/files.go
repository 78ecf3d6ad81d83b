package requestlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

const (
	extension = ".parquet"
	// batch rows are read at a time.
	batch = 512
)

// File is one file of records.
type File struct {
	path string
	// Number of the segment that it was made of.
	Number uint64
	// First and Last arrival in it, in nanoseconds since 1970.
	First, Last int64
	Size        int64
}

// Name gives the name of a file; the times in it spare opening it.
func name(number uint64, first, last int64) string {
	return fmt.Sprintf("requests-%020d-%d-%d%s", number, first, last, extension)
}

// List finds the files in a folder.
func List(folder string) ([]File, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, e := range entries {
		f := File{path: filepath.Join(folder, e.Name())}
		if _, err := fmt.Sscanf(e.Name(), "requests-%d-%d-%d"+extension, &f.Number, &f.First, &f.Last); err != nil || filepath.Ext(e.Name()) != extension {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		f.Size = info.Size()
		files = append(files, f)
	}
	return files, nil
}

// Write writes requests as the file of a segment.
func Write(folder string, number uint64, requests []Request) (File, error) {
	sorted := slices.Clone(requests)
	slices.SortFunc(sorted, func(a, b Request) int {
		// One endpoint after the other: the columns are smaller so.
		if c := strings.Compare(a.EndpointUID, b.EndpointUID); c != 0 {
			return c
		}
		return compare(a.Place(), b.Place())
	})
	f := File{Number: number, First: sorted[0].Arrival, Last: sorted[0].Arrival}
	for i := range sorted {
		f.First, f.Last = min(f.First, sorted[i].Arrival), max(f.Last, sorted[i].Arrival)
	}
	f.path = filepath.Join(folder, name(number, f.First, f.Last))
	temp := f.path + ".tmp"
	size, err := writeTemp(temp, sorted)
	if err != nil {
		os.Remove(temp)
		return File{}, fmt.Errorf("write records of requests: %w", err)
	}
	f.Size = size
	return f, os.Rename(temp, f.path)
}

func writeTemp(path string, requests []Request) (size int64, err error) {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := parquet.NewGenericWriter[Request](out, parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}))
	if _, err := w.Write(requests); err != nil {
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	info, err := out.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), out.Sync()
}

// Remove removes the file.
func (f File) Remove() error { return os.Remove(f.path) }

// Find gives the newest requests that the filter wants, newest first, of those
// at hand and those in the files. A file that cannot be read is told to damaged
// and left out.
func Find(filter Filter, atHand []Request, files []File, damaged func(path string, err error)) []Request {
	n := newest{limit: filter.Limit}
	for i := range atHand {
		if filter.Wants(&atHand[i]) {
			n.add(&atHand[i])
		}
	}
	sorted := slices.Clone(files)
	slices.SortFunc(sorted, func(a, b File) int { return -compare(Place{Arrival: a.Last}, Place{Arrival: b.Last}) })
	for _, f := range sorted {
		if !filter.From.IsZero() && f.Last < filter.From.UnixNano() || f.First >= filter.To.UnixNano() ||
			filter.Before != nil && f.First > filter.Before.Arrival {
			continue
		}
		if n.olderThanAll(f.Last) {
			break // so are all the files that follow
		}
		if err := f.scan(&filter, &n); err != nil {
			damaged(f.path, err)
		}
	}
	n.cut()
	return n.found
}

func (f File) scan(filter *Filter, n *newest) (err error) {
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	defer func() {
		if fault := recover(); fault != nil { // the reader trusts its input
			err = fmt.Errorf("read Parquet: %v", fault)
		}
	}()
	file, err := parquet.OpenFile(in, f.Size)
	if err != nil {
		return err
	}
	r := parquet.NewGenericReader[Request](file)
	defer func() { err = errors.Join(err, r.Close()) }()
	rows := make([]Request, batch)
	for {
		count, err := r.Read(rows)
		for i := range rows[:count] {
			if filter.Wants(&rows[i]) {
				n.add(&rows[i])
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
