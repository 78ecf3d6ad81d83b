package store

import (
	"errors"
	"fmt"

	"github.com/fairlead/fairlead/platform/apierr"
)

// ErrNotFound says that a key is absent.
var ErrNotFound = errors.New("key not found")

// ErrUnavailable says that the store can't be reached, or did not answer. A write
// may have happened all the same: repeat it with the same batch ID. Callers of an
// API are told so as they are.
var ErrUnavailable error = apierr.New(apierr.Unavailable, "STORE_UNAVAILABLE", "the state store is unavailable, try again")

// ConflictError says which key was not as an op or guard expected. Nothing was
// applied: read the key again and decide anew.
type ConflictError struct {
	Key  string
	Want Revision // 0: expected to be absent
	Have Revision // 0: absent
}

func (e *ConflictError) Error() string {
	switch {
	case e.Want == 0:
		return fmt.Sprintf("key %s exists already, at revision %d", e.Key, e.Have)
	case e.Have == 0:
		return fmt.Sprintf("key %s is gone, expected revision %d: read it again", e.Key, e.Want)
	default:
		return fmt.Sprintf("key %s has revision %d, expected %d: read it again", e.Key, e.Have, e.Want)
	}
}

// InvalidError says what is wrong with a key, a prefix or a batch.
type InvalidError struct {
	Field  string
	Reason string
}

func (e *InvalidError) Error() string { return e.Field + " " + e.Reason }

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf(format, args...)}
}
