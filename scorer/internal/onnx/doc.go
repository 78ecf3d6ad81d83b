// Package onnx computes ONNX models with ONNX Runtime, whose shared library it loads when the first model is opened.
//
// A Session is a model that is loaded. Its Infer may be called from any goroutine, also at the same time; a run whose context ends is
// broken off. Requests are checked against the model's signature before they reach ONNX Runtime: what is wrong is a
// *tensor.InvalidError with everything that is, what fails in the model is a *tensor.Failure.
//
// The library is loaded once in a process, by the first Open, and stays. A program that was built without cgo has the same functions;
// its Open fails with a *LibraryError.
package onnx
