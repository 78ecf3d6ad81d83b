package installation

import (
	"bufio"
	"errors"
	"io"
	"os"
)

// spool is files without a name, which are gone when the process is.
type spool struct {
	folder  string
	files   []*os.File
	buffers []*bufio.Writer
}

func (s *spool) file() (io.Writer, error) {
	f, err := os.CreateTemp(s.folder, ".backup-*")
	if err != nil {
		return nil, err
	}
	s.files = append(s.files, f)
	s.buffers = append(s.buffers, bufio.NewWriterSize(f, 1<<18))
	return s.buffers[len(s.buffers)-1], os.Remove(f.Name())
}

// read gives the content of a file from its beginning.
func (s *spool) read(i int) (io.Reader, error) {
	if err := s.buffers[i].Flush(); err != nil {
		return nil, err
	}
	_, err := s.files[i].Seek(0, io.SeekStart)
	return s.files[i], err
}

func (s *spool) close() error {
	var problems []error
	for _, f := range s.files {
		problems = append(problems, f.Close())
	}
	return errors.Join(problems...)
}
