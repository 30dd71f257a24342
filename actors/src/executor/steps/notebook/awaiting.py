def __notebook_await__(source, cell, names, loops=[]):
    import ast
    import asyncio
    import inspect

    result = eval(compile(source, cell, 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.iscoroutine(result):
        # One for all cells: what one has begun goes on in the next.
        loops or loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[0])
        loops[0].run_until_complete(result)


