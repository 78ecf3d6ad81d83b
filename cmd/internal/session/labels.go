package session

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/platform/apierr"
)

// Labels are changes to the tags and properties of a resource.
type Labels struct {
	addTags       map[string]string
	removeTags    []string
	addProperties map[string]string
}

// ReadLabels reads the words of --add-tag, --remove-tag and --add-property.
func ReadLabels(cmd *cobra.Command, addTags, removeTags, addProperties []string) (Labels, error) {
	tags, err := Pairs(cmd, "add-tag", addTags)
	if err != nil {
		return Labels{}, err
	}
	properties, err := Pairs(cmd, "add-property", addProperties)
	return Labels{addTags: tags, removeTags: removeTags, addProperties: properties}, err
}

// Empty says whether there is no change.
func (l Labels) Empty() bool { return len(l.Mask()) == 0 }

// Mask gives the fields that change.
func (l Labels) Mask() []string {
	var paths []string
	if len(l.addTags)+len(l.removeTags) > 0 {
		paths = append(paths, "tags")
	}
	if len(l.addProperties) > 0 {
		paths = append(paths, "properties")
	}
	return paths
}

// Tags gives the tags after the change.
func (l Labels) Tags(now map[string]string) map[string]string {
	out := merge(now, l.addTags)
	maps.DeleteFunc(out, func(k, _ string) bool { return slices.Contains(l.removeTags, k) })
	return out
}

// Properties gives the properties after the change.
func (l Labels) Properties(now map[string]string) map[string]string {
	return merge(now, l.addProperties)
}

func merge(now, add map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, now)
	maps.Copy(out, add)
	return out
}

// changeAttempts is how often a change is based on a fresh reading before the
// user is told that somebody else keeps changing the same resource.
const changeAttempts = 4

// OnConflict runs change, which reads a resource and writes it back under its
// etag, again when somebody else was faster.
func OnConflict(change func() error) error {
	for attempt := 1; ; attempt++ {
		err := change()
		if err == nil || attempt == changeAttempts || !isStale(err) {
			return err
		}
	}
}

func isStale(err error) bool {
	e := apierr.FromStatus(err)
	return e != nil && e.Kind == apierr.Conflict && e.Reason == "ETAG_MISMATCH"
}
