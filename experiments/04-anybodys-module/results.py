PARTS = ("search", "ddp")
def fill(text, report):
    return text
