package reporting

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
)

// magic begins the spool; its last character is the version of the format. The
// digest of the rest follows.
const magic = "fairlead-reports1"

// loadSpool reads the reports that were left. The file stays: when they are
// shipped twice they are counted once.
func loadSpool(path string) ([]*telemetryv1.RecordRequest, error) {
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(content, []byte(magic))
	if !ok || len(rest) < sha256.Size {
		return nil, fmt.Errorf("%s holds no reports", path)
	}
	sum := sha256.Sum256(rest[sha256.Size:])
	if !bytes.Equal(sum[:], rest[:sha256.Size]) {
		return nil, fmt.Errorf("%s is damaged: its digest does not fit its content", path)
	}
	var reports []*telemetryv1.RecordRequest
	for in := bytes.NewReader(rest[sha256.Size:]); in.Len() > 0; {
		report := &telemetryv1.RecordRequest{}
		if err := (protodelim.UnmarshalOptions{MaxSize: -1}).UnmarshalFrom(in, report); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		reports = append(reports, report)
	}
	return reports, nil
}

// saveSpool makes the file hold these reports; without any there is no file.
func saveSpool(path string, reports []*telemetryv1.RecordRequest) error {
	if path == "" {
		return nil
	}
	if len(reports) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove reports that were sent: %w", err)
		}
		return nil
	}
	var body bytes.Buffer
	for _, report := range reports {
		if _, err := (protodelim.MarshalOptions{MarshalOptions: proto.MarshalOptions{}}).MarshalTo(&body, report); err != nil {
			return fmt.Errorf("keep reports: %w", err)
		}
	}
	sum := sha256.Sum256(body.Bytes())
	content := append(append([]byte(magic), sum[:]...), body.Bytes()...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep reports: %w", err)
	}
	temp := path + ".tmp"
	if err := writeSynced(temp, content); err != nil {
		return fmt.Errorf("keep reports: %w", err)
	}
	return os.Rename(temp, path)
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}
