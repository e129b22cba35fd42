"""Nothing: it is imported after sleap-nn, so that its compiled file says that all before it is compiled as well."""
