"""Search spaces written against `nas`, one a module; the entry point group `nas.search_spaces` names them."""
