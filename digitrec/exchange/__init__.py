"""The newest truth in one table, for those who work on with it; and corrections that come back from there.

    truth     the rows of all batches, with what people said in them
    forms     rows -> csv, jsonl, xlsx
    sheet     a CSV or workbook that others made, or edited -> its lines
    workbook  what Excel saved -> cells
    applying  such lines -> corrections

No published file is ever touched.
"""
