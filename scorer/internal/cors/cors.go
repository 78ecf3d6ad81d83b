// Package cors lets pages of other origins call a scorer from a browser: it decides the Access-Control headers of an answer.
//
// A Policy does not change; it may be used from any goroutine.
package cors

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

const (
	headerAllowOrigin    = "Access-Control-Allow-Origin"
	headerAllowHeaders   = "Access-Control-Allow-Headers"
	headerAllowMethods   = "Access-Control-Allow-Methods"
	headerRequestMethod  = "Access-Control-Request-Method"
	headerRequestHeaders = "Access-Control-Request-Headers"

	everything = "*"
)

// Policy says which origins may call.
type Policy struct {
	matchers []func(origin string) bool
	// plain are the origins that are no patterns, sorted.
	plain []string
	all   bool
	// fixed says that no answer can name any but one origin.
	fixed bool
}

// Parse reads a list of origins, separated by commas: * for all, https://www.example.com, www.example.com for any scheme,
// https://*.example.com, or a regular expression that matches the beginning. An empty list gives a policy that allows nobody.
func Parse(list string) (*Policy, error) {
	p := &Policy{}
	var problems []error
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		matches, err := matcher(entry)
		if err != nil {
			problems = append(problems, fmt.Errorf("the origin %q can't be understood: %w", entry, err))
			continue
		}
		p.matchers = append(p.matchers, matches)
		switch {
		case entry == everything:
			p.all = true
		case !strings.ContainsAny(entry, `*\[]?$^()`):
			p.plain = append(p.plain, entry)
		}
	}
	slices.Sort(p.plain)
	p.fixed = len(p.matchers) == 1 && len(p.plain) == 1 && strings.Contains(p.plain[0], "://")
	return p, errors.Join(problems...)
}

// matcher gives what decides whether an entry of the list means an origin.
func matcher(entry string) (func(string) bool, error) {
	switch {
	case entry == everything:
		return func(string) bool { return true }, nil
	case strings.ContainsAny(entry, `\[]?$^()`) || strings.Contains(entry, ".*"):
		return expression("(?i)^(?:" + entry + ")")
	case strings.Contains(entry, "*"):
		return expression("(?i)^" + anyScheme(entry) + strings.ReplaceAll(regexp.QuoteMeta(entry), `\*`, `[^/]*`) + "$")
	case strings.Contains(entry, "://"):
		return func(origin string) bool { return strings.EqualFold(origin, entry) }, nil
	}
	return func(origin string) bool {
		_, host, _ := strings.Cut(origin, "://")
		return strings.EqualFold(host, entry) || strings.EqualFold(origin, entry)
	}, nil
}

func anyScheme(entry string) string {
	if strings.Contains(entry, "://") {
		return ""
	}
	return "(?:[a-z][a-z0-9+.-]*://)?"
}

func expression(text string) (func(string) bool, error) {
	e, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return e.MatchString, nil
}

// Apply puts the headers for a request on its answer. A nil policy does nothing.
func (p *Policy) Apply(h http.Header, r *http.Request) {
	if p == nil || len(p.matchers) == 0 {
		return
	}
	allowed := p.allowed(r.Header.Get("Origin"))
	if allowed == "" {
		return
	}
	h[headerAllowOrigin] = []string{allowed}
	asked := strings.ToUpper(r.Header.Get(headerRequestMethod))
	if r.Method == http.MethodOptions && (asked == http.MethodGet || asked == http.MethodPost) {
		if headers := sortedList(r.Header.Get(headerRequestHeaders)); headers != "" {
			h[headerAllowHeaders] = []string{headers}
		}
		h[headerAllowMethods] = []string{http.MethodGet + ", " + http.MethodPost}
	}
	if allowed != everything && !p.fixed {
		h.Add("Vary", "Origin")
	}
}

// allowed gives the origin that an answer names: the request's if it may call. A request without one is told of the policy's first.
func (p *Policy) allowed(origin string) string {
	switch {
	case origin != "":
		for _, matches := range p.matchers {
			if matches(origin) {
				return origin
			}
		}
		return ""
	case p.all:
		return everything
	case len(p.plain) > 0:
		return p.plain[0]
	}
	return ""
}

func sortedList(list string) string {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
