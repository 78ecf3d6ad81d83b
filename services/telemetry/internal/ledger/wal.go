package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
)

const (
	// magic begins every file; the digits are the version of the format.
	magic = "FLTELE01"
	// frameHead is the length and the checksum before each record.
	frameHead = 8
	// maxRecord is far above what a report has; a longer one is damage.
	maxRecord = 64 << 20
)

// errTorn says that a record is not whole or not what was written.
var errTorn = errors.New("a record is torn or damaged")

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// frame gives a record as it is in a file.
func frame(m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, frameHead), m)
	if err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)-frameHead))
	binary.LittleEndian.PutUint32(b[4:], checksum(b[frameHead:]))
	return b, nil
}

// unframe gives the first record and the rest; io.EOF when there is no more.
func unframe(b []byte) (record, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, io.EOF
	}
	if len(b) < frameHead {
		return nil, nil, errTorn
	}
	size := binary.LittleEndian.Uint32(b)
	if size > maxRecord || int(size) > len(b)-frameHead {
		return nil, nil, errTorn
	}
	record, rest = b[frameHead:frameHead+size], b[frameHead+size:]
	if checksum(record) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, nil, errTorn
	}
	return record, rest, nil
}

// wal is the log that reports are added to. It belongs to one goroutine.
type wal struct {
	file *os.File
	id   uint64
	size int64
}

func walName(id uint64) string { return fmt.Sprintf("log-%020d", id) }

// createWAL begins an empty log.
func createWAL(folder string, id uint64) (*wal, error) {
	f, err := os.OpenFile(filepath.Join(folder, walName(id)), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	w := &wal{file: f, id: id}
	if err := errors.Join(w.write([]byte(magic)), syncFolder(folder)); err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return w, nil
}

// openWAL reads a log and goes on after its last whole record. damaged is how
// many bytes follow that; a kill in the middle of a write leaves some, which
// nobody was told are there.
func openWAL(folder string, id uint64, see func(*telemetryv1.RecordRequest)) (w *wal, damaged int, err error) {
	f, err := os.OpenFile(filepath.Join(folder, walName(id)), os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, err
	}
	content, err := io.ReadAll(f)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	w = &wal{file: f, id: id}
	if len(content) < len(magic) || string(content[:len(magic)]) != magic {
		return w, len(content), w.begin()
	}
	rest := content[len(magic):]
	for {
		record, after, err := unframe(rest)
		if err != nil {
			break
		}
		report := &telemetryv1.RecordRequest{}
		if err := proto.Unmarshal(record, report); err != nil {
			break
		}
		see(report)
		rest = after
	}
	w.size = int64(len(content) - len(rest))
	return w, len(rest), f.Truncate(w.size)
}

// begin makes the log empty.
func (w *wal) begin() error {
	w.size = 0
	return errors.Join(w.file.Truncate(0), w.write([]byte(magic)))
}

func (w *wal) append(report *telemetryv1.RecordRequest) error {
	b, err := frame(report)
	if err != nil {
		return err
	}
	return w.write(b)
}

// write adds b. What a failed write has left is written over by the next.
func (w *wal) write(b []byte) error {
	if _, err := w.file.WriteAt(b, w.size); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.size += int64(len(b))
	return nil
}

func (w *wal) empty() bool { return w.size <= int64(len(magic)) }

func (w *wal) close() error { return w.file.Close() }

// syncFolder makes the names in a folder last.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
