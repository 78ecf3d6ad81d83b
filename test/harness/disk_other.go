//go:build !linux

package harness

import "errors"

func mountDisk(string, int64) error { return errors.New("no disk can be mounted on this system") }

func unmountDisk(string) error { return nil }
