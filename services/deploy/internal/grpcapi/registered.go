package grpcapi

import (
	"fmt"
	"math"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/page"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/deploy/internal/reference"
)

// listRequest is a request for one page of what a parent holds.
type listRequest interface {
	GetParent() string
	GetPageSize() int32
	GetPageToken() string
}

// listing says how a page is made: of which parents, what they hold in the order
// of a key, and each as a message.
type listing[T, M any] struct {
	parent resourcename.Pattern
	all    func(parent resourcename.Values) ([]T, error)
	key    func(T) string
	proto  func(T) M
}

func (l listing[T, M]) page(req listRequest) (messages []M, next string, err error) {
	parent, err := l.parent.ParseField("parent", req.GetParent())
	if err != nil {
		return nil, "", err
	}
	p, err := page.Parse(req.GetPageSize(), req.GetPageToken(), req.GetParent())
	if err != nil {
		return nil, "", err
	}
	all, err := l.all(parent)
	if err != nil {
		return nil, "", err
	}
	part, next := page.Cut(all, p, l.key)
	for _, item := range part {
		messages = append(messages, l.proto(item))
	}
	return messages, next, nil
}

// newestFirst is the key of versions in the order of their numbers, backwards.
func newestFirst(number int64) string { return fmt.Sprintf("%019d", math.MaxInt64-number) }

// versionNumber reads the number of a registered version from its resource name
// in a field; 0 for "latest".
func versionNumber(field string, values resourcename.Values, parse func(string) (int64, error)) (int64, error) {
	text := values.Get("version")
	if text == reference.Latest {
		return 0, nil
	}
	number, err := parse(text)
	if err != nil {
		return 0, apierr.Invalid(apierr.Violation{Field: field, Description: err.Error()})
	}
	return number, nil
}

// numbered refuses the name of a version that may be another one by the time it
// is deleted.
func numbered(name string) error {
	if resourcename.Last(name) == reference.Latest {
		return apierr.Invalid(apierr.Violation{Field: "name", Description: "must end in a number: what is the latest may change until it is deleted"})
	}
	return nil
}
